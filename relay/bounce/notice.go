package bounce

import (
	"time"

	"github.com/millrace/millrace/relay"
)

// kind is the job that a notice stands for.
type kind uint8

const (
	failure kind = iota // tell the sender of failures
	passed              // tell the sender that the mail went on to a server that sends no reports
	double              // a notification failed itself: nobody is left to tell, so the log gets it
)

// notice gathers the entries of one message. It holds the message: its header is needed for the notification, although the
// last recipient may be settled by then. As many notices wait as messages have failed, so a notice with one entry is one block
// of 64 bytes.
type notice struct {
	message *relay.Message
	next    *notice       // in its line
	first   time.Duration // when the first entry came, since the server began
	retry   int32         // seconds since the server began: not before, once tries > 0
	tries   uint16        // failed attempts to have the notification accepted
	faults  uint8         // attempts that met a fault of our own
	kind    kind
	entry   entry    // the first
	more    *[]entry // the others; nil: there are none
}

// noticeKey has the kind beside the message, because a notification has one subject: success and failure cannot share it.
type noticeKey struct {
	id   relay.ID
	kind kind
}

func (n *notice) key() noticeKey { return noticeKey{n.message.ID, n.kind} }

// gathers reports whether more entries may come: the only recipient of a message has one fate.
func (n *notice) gathers() bool { return n.message.RcptCount() > 1 }

// add adds an entry.
func (n *notice) add(x entry) {
	if n.more == nil {
		n.more = new([]entry)
	}
	*n.more = append(*n.more, x)
}

// entries yields the entries in the order in which they came.
func (n *notice) entries(yield func(entry) bool) {
	if !yield(n.entry) || n.more == nil {
		return
	}
	for _, x := range *n.more {
		if !yield(x) {
			return
		}
	}
}

// The bytes that a notice takes with its first entry, its place among those that gather, and a further entry.
const (
	noticeCost = 64
	gatherCost = 48
	entryCost  = 24
)

// weigh is the bytes that n takes in memory, the words apart.
func (n *notice) weigh() int64 {
	cost := noticeCost
	if n.gathers() {
		cost += gatherCost
	}
	if n.more != nil {
		cost += entryCost * (1 + cap(*n.more)) // the head of a list is as large as an entry
	}
	return int64(cost)
}

// entry is one recipient of a notice.
type entry struct {
	words *words
	time  int64 // of the last attempt, in Unix nanoseconds; 0: not known
	node  int32 // its index among the nodes of the message
	rcpt  int32 // the index of a recipient of the message
}

// newEntry makes an entry of an event, with the words for it.
func newEntry(e *relay.Event, w *words) entry {
	x := entry{words: w, node: e.Node.Index, rcpt: int32(e.Rcpt)}
	if !e.Time.IsZero() {
		x.time = e.Time.UnixNano()
	}
	return x
}

// failure is x, an entry about m, for Compose.
func (x entry) failure(m *relay.Message) Failure {
	f := x.words.parse(m.Rcpt(int(x.rcpt)).Addr)
	f.Rcpt = int(x.rcpt)
	if x.time != 0 {
		f.Time = time.Unix(0, x.time)
	}
	return f
}

func actionOf(o relay.Outcome) Action {
	switch o {
	case relay.Expired:
		return Expired
	case relay.Sent:
		return Relayed
	}
	return Failed
}

// ripe reports whether n waits no longer. pending says whether more recipients of the message may still fail; while they
// may, n waits, so that the sender gets one notification and not one for each recipient.
func (n *notice) ripe(now, delay time.Duration, pending func(*relay.Message) bool) bool {
	switch {
	case n.kind == double:
		return true
	case n.tries > 0:
		return now >= time.Duration(n.retry)*time.Second
	case now >= n.first+delay:
		return true
	}
	return pending != nil && !pending(n.message)
}

const (
	firstRetry = 10 * time.Second
	lastRetry  = time.Hour
	// giveUp is the age at which MTAs give up mail (RFC 5321 section 4.5.4.1).
	giveUp = 5 * 24 * time.Hour
)

// failed notes that the notification was not accepted, and gives the wait before the next attempt. Each wait is twice the one
// before: a journal that can record nothing is not helped by many attempts.
func (n *notice) failed(now time.Duration) (wait time.Duration) {
	wait = min(firstRetry<<min(n.tries, 20), lastRetry)
	n.retry = int32((now + wait) / time.Second)
	n.tries++
	return wait
}

// failures are the entries for Compose.
func (n *notice) failures() []Failure {
	var list []Failure
	for x := range n.entries {
		list = append(list, x.failure(n.message))
	}
	return list
}
