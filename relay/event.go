package relay

import (
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// EventKind says what happened.
type EventKind uint8

const (
	// EventTaken: a door accepted the message. Rcpt is -1.
	EventTaken EventKind = iota
	// EventRestored: the recovery agent brought the message back. Rcpt is -1.
	EventRestored
	// EventHeard: the MTA that gave us the message knows that it is taken. Rcpt is -1.
	EventHeard
	// EventHungUp: the MTA hung up before it had our answer, and may offer the message again. Rcpt is -1.
	EventHungUp
	// EventUnheard: when the daemon ended it was not known whether the MTA had heard that the message is taken. The MTA may
	// offer the message again, and the recipient may then get it twice.
	EventUnheard
	// EventInterrupted: the recipient was being visited when the daemon ended, and nobody knows what the receiver said. The
	// recipient is visited again, and may get the message twice (RFC 1047).
	EventInterrupted
	// EventSettled: Outcome was decided for one recipient (never Again).
	EventSettled
	// EventReported: the sender has been told that this recipient failed, or need not be told. Report names the notification.
	EventReported
	// EventDeferred: the node goes back to wait, or to our own MTA. After a visit it follows the EventSettled of each recipient
	// that was deferred. Rcpt is -1.
	EventDeferred
	// EventPutBack: a visit that was begun ended before the receiver had any of the message; the node waits as before. Rcpt
	// is -1.
	EventPutBack
	// EventRemoved: the last recipient is settled; the message leaves. Rcpt is -1.
	EventRemoved
)

// Event is something that happened to a message. Outcomes reach mail log, counters, journal and bounces as events and in no
// other way. An Event is valid only during the call; a listener copies what it keeps.
type Event struct {
	Kind    EventKind
	Time    time.Time
	Message *Message
	Node    *Node // nil for events without a visit
	Rcpt    int   // index of a recipient of Message, or -1

	Outcome    Outcome
	Reply      smtp.Reply
	Site       string // the site that was visited, as the list of sites names it; "": none
	Relay      string // "mx.example.net[192.0.2.1]:25", or "none"
	ConnUse    int    // how many messages this connection had carried, this one included; 0 when none
	Delays     Delays
	Relayed    bool   // see Fate
	MaybeTwice bool   // the receiver may have it although we must try again (RFC 1047)
	Report     string // EventReported: the notification's name, or ""
	MessageID  []byte // EventTaken: see Content.MessageID; a recovered or divided message has none
}

// Delays are the four parts of Postfix's delays=a/b/c/d.
type Delays struct {
	Before, Queue, Setup, Transmit time.Duration
}

// Total is the sum of the four, Postfix's delay=.
func (d Delays) Total() time.Duration { return d.Before + d.Queue + d.Setup + d.Transmit }

// A Listener is told of every event, in the goroutine in which the event happened. It must not block.
type Listener interface {
	Event(*Event)
}

// Listeners is a Listener that tells each of its members in turn.
type Listeners []Listener

// Event implements Listener.
func (l Listeners) Event(e *Event) {
	for _, x := range l {
		x.Event(e)
	}
}
