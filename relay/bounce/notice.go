package bounce

import (
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// kind is what is to be done about a message.
type kind uint8

const (
	failure kind = iota // tell the sender of failures
	passed              // tell the sender that it went on to where no reports come from
	double              // a notification failed itself: nobody is left to tell but the postmaster's log
)

// notice is what Server gathers about one message. It holds the message.
type notice struct {
	key     noticeKey
	message *relay.Message
	first   time.Time
	entries []entry

	tries int       // failed attempts to have the notification accepted
	retry time.Time // not before, once tries > 0
}

type noticeKey struct {
	id   relay.ID
	kind kind
}

// entry is one recipient of a notice.
type entry struct {
	node *relay.Node
	Failure
}

// newEntry copies what an event says: the event is gone after the call.
func newEntry(e *relay.Event) entry {
	return entry{node: e.Node, Failure: Failure{
		Rcpt: e.Rcpt, Action: actionOf(e.Outcome), Relay: e.Relay, Time: e.Time,
		Reply: smtp.Reply{Code: e.Reply.Code, Enhanced: e.Reply.Enhanced, Lines: append([]string(nil), e.Reply.Lines...)},
	}}
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

// ripe reports whether n waits no longer: pending says that more may come.
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

// failed notes that nobody took the notification: the next attempt is twice as far away as the one before.
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
