package bounce

import (
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// kind is the job that a notice stands for.
type kind uint8

const (
	failure kind = iota // tell the sender of failures
	passed              // tell the sender that the mail went on to a server that sends no reports
	double              // a notification failed itself: nobody is left to tell, so the log gets it
)

// notice gathers the entries of one message. It holds the message: its header is needed for the notification, although the
// last recipient may be settled by then.
type notice struct {
	key     noticeKey
	message *relay.Message
	first   time.Time // when the first entry came
	entries []entry

	tries  int       // failed attempts to have the notification accepted
	faults int       // attempts that met a fault of our own
	retry  time.Time // not before, once tries > 0
}

// noticeKey has the kind beside the message, because a notification has one subject: success and failure cannot share it.
type noticeKey struct {
	id   relay.ID
	kind kind
}

// entry is one recipient of a notice.
type entry struct {
	node *relay.Node
	Failure
}

// newEntry copies an event, the lines of its reply included: the event belongs to its sender again after the call. It keeps
// most bytes of the reply's text.
func newEntry(e *relay.Event, most int) entry {
	var lines []string
	for _, l := range e.Reply.Lines {
		if len(lines) > 0 && most <= 0 {
			break
		}
		l = strings.Clone(relay.Clip(l, most))
		lines = append(lines, l)
		most -= len(l)
	}
	return entry{node: e.Node, Failure: Failure{
		Rcpt: e.Rcpt, Action: actionOf(e.Outcome), Relay: e.Relay, Time: e.Time,
		Reply: smtp.Reply{Code: e.Reply.Code, Enhanced: strings.Clone(e.Reply.Enhanced), Lines: lines}, // a part of a string keeps the whole
	}}
}

// entryCost is the bytes that an entry takes beside its text, its part of the notice included.
const entryCost = 300

// weigh is the bytes that the entry takes in memory.
func (x *entry) weigh() int64 {
	n := entryCost
	for _, l := range x.Reply.Lines {
		n += 24 + len(l)
	}
	return int64(n)
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
func (n *notice) ripe(now time.Time, delay time.Duration, pending func(*relay.Message) bool) bool {
	switch {
	case n.key.kind == double:
		return true
	case n.tries > 0:
		return !now.Before(n.retry)
	case !now.Before(n.first.Add(delay)):
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

// failed notes that the notification was not accepted. Each wait is twice the one before: a journal that can record nothing
// is not helped by many attempts.
func (n *notice) failed(now time.Time) {
	n.retry = now.Add(min(firstRetry<<min(n.tries, 20), lastRetry))
	n.tries++
}

// failures are the entries for Compose.
func (n *notice) failures() []Failure {
	list := make([]Failure, len(n.entries))
	for i, e := range n.entries {
		list[i] = e.Failure
	}
	return list
}
