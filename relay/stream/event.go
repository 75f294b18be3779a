package stream

import (
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// kindOf is the kind of record that an event becomes, and what it counts. ok is false for an event that has none.
func kindOf(e *relay.Event) (k Kind, n uint32, ok bool) {
	switch e.Kind {
	case relay.EventTaken:
		return Reception, uint32(e.Message.RcptCount()), true
	case relay.EventSettled:
		k, ok = outcomes[e.Outcome], e.Outcome != relay.Again
		return k, 1, ok
	case relay.EventReported:
		return Reported, 1, true
	case relay.EventDeferred:
		if e.Relay == "none" {
			return Deferral, 0, true
		}
		return Deferral, 1, true
	case relay.EventUnheard, relay.EventInterrupted:
		return Doubt, 0, true
	}
	return 0, 0, false
}

var outcomes = [...]Kind{
	relay.Sent: Delivery, relay.Deferred: TransientFailure, relay.Bounced: Bounce, relay.Expired: Expiration, relay.HandedBack: HandedBack,
	relay.Deleted: Deleted,
}

// event writes the record of an event. It reads what belongs to the caller of Event and keeps nothing of it.
func (l *line) event(k Kind, e *relay.Event) []byte {
	m := e.Message
	l.begin(k, e.Time)
	l.message(m)
	switch k {
	case Reception:
		l.reception(e)
	case Reported:
		l.recipient(e)
		l.flow(m)
		l.text("notice_id", e.Report, maxName)
	case Deferral:
		l.deferral(e)
	case Doubt:
		l.recipient(e)
		l.flow(m)
		l.text("reason", doubts[e.Kind], maxText)
	default:
		l.outcome(k, e)
	}
	return l.end()
}

var doubts = map[relay.EventKind]string{
	relay.EventUnheard:     "the daemon ended before the MTA heard that the message is taken",
	relay.EventInterrupted: "the daemon ended before the outcome was recorded",
}

// reception: what a message taken is, and for whom.
func (l *line) reception(e *relay.Event) {
	m := e.Message
	l.bytes("message_id", e.MessageID)
	count := m.RcptCount()
	if count == 1 {
		addr := m.Rcpt(0).Addr
		l.text("recipient", addr, maxName)
		l.text("domain", relay.Domain(addr), maxName)
	} else {
		rcpts := make([]string, 0, min(count, maxRcpts))
		for i := range min(count, maxRcpts) {
			rcpts = append(rcpts, m.Rcpt(i).Addr)
		}
		l.list("recipients", rcpts)
	}
	l.number("rcpts", int64(count))
	l.flow(m)
	l.text("client", m.Client(), maxName)
	l.moment("arrived", m.Arrived())
}

// deferral: how a visit ended for those that are tried again.
func (l *line) deferral(e *relay.Event) {
	n := e.Node
	l.text("domain", n.Domain, maxName)
	l.where(e)
	l.flow(e.Message)
	l.number("visits", int64(n.Visits))
	l.number("waiting", int64(len(n.Rcpts())))
	l.moment("next", n.Due())
}

// outcome: what became of a recipient in a visit.
func (l *line) outcome(k Kind, e *relay.Event) {
	l.recipient(e)
	l.where(e)
	l.flow(e.Message)
	if e.Node != nil {
		visits := int64(e.Node.Visits)
		if reached(e) {
			visits++
		}
		l.number("visits", visits)
	}
	l.reply(e.Reply)
	if k == TransientFailure || k == Bounce || k == Expiration {
		l.text("class", smtp.Classify(e.Reply, "").Class.String(), maxName)
	}
	l.flag("maybe_twice", e.MaybeTwice)
	l.number("conn_use", int64(e.ConnUse))
	l.delays(e.Delays)
}

// Note is an event that is about no message in the queue map.
type Note struct {
	Kind Kind // Held, Overflow, Suppressed, Act or Allowance
	Time time.Time

	QueueID, Sender string
	Recipients      []string
	Tenant          string
	Campaign        string
	Rule            string
	Client          string
	Size            int64

	Reason string
	Waited time.Duration // Held: how long the reply has waited
	Taken  bool          // Held: there is room now

	Verb, Who, Selector string // Act
	Messages, Rcpts     int64  // Act: to how many it was done

	Level       int64 // Allowance: the mark that was reached, in per cent
	Used, Limit int64 // Allowance
}

// note writes the record of a Note.
func (l *line) note(n *Note) []byte {
	l.begin(n.Kind, n.Time)
	l.text("queue_id", n.QueueID, maxName)
	if n.Kind == Held || n.Kind == Overflow || n.Kind == Suppressed {
		l.key("sender")
		l.quote(n.Sender, maxName)
	}
	if len(n.Recipients) == 1 {
		l.text("recipient", n.Recipients[0], maxName)
		l.text("domain", relay.Domain(n.Recipients[0]), maxName)
	} else {
		l.list("recipients", n.Recipients)
	}
	l.number("rcpts", int64(len(n.Recipients)))
	l.text("tenant", n.Tenant, maxName)
	l.text("campaign", n.Campaign, maxName)
	l.text("rule", n.Rule, maxName)
	l.number("size", n.Size)
	l.text("client", n.Client, maxName)
	l.text("verb", n.Verb, maxName)
	l.text("who", n.Who, maxName)
	l.text("selector", n.Selector, maxText)
	l.text("reason", n.Reason, maxText)
	if n.Kind == Held {
		l.seconds("waited", n.Waited)
		l.flag("room", n.Taken)
	}
	l.number("messages", n.Messages)
	if n.Kind == Act {
		l.number("rcpts", n.Rcpts)
	}
	l.number("level", n.Level)
	l.number("used", n.Used)
	l.number("limit", n.Limit)
	return l.end()
}
