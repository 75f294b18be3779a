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
	// EventHeard: whoever gave us the message knows that it is taken. Rcpt is -1.
	EventHeard
	// EventHungUp: the MTA hung up before our answer was with it, and may offer the message again. Rcpt is -1.
	EventHungUp
	// EventUnheard: the daemon ended before it was known that the MTA had heard that a restored message is taken. The MTA
	// may offer it again, so that the recipient may get it twice.
	EventUnheard
	// EventInterrupted: the recipient of a restored message was being visited when the daemon ended, and nobody knows what
	// the receiver said. It is visited again, so that it may be delivered twice (RFC 1047).
	EventInterrupted
	// EventSettled: Outcome was decided for one recipient (never Again).
	EventSettled
	// EventReported: the sender has been told of a failure of this recipient, or need not be. Report names the notification.
	EventReported
	// EventDeferred: the node as a whole goes back to wait; follows the settled events of its recipients. Rcpt is -1.
	EventDeferred
	// EventPutBack: a visit that was begun ended before the receiver had any of it; the node waits as before. Rcpt is -1.
	EventPutBack
	// EventRemoved: the last recipient is settled; the message leaves. Rcpt is -1.
	EventRemoved
)

// Event is something that happened to a message. Mail log, counters, journal and bounces are written from events and from nothing else.
// It is valid only during the call; a listener that keeps something copies it.
type Event struct {
	Kind    EventKind
	Time    time.Time
	Message *Message
	Node    *Node // nil for events without a visit
	Rcpt    int   // index into Message.Rcpts, or -1

	Outcome    Outcome
	Reply      smtp.Reply
	Relay      string // "mx.example.net[192.0.2.1]:25", or "none"
	ConnUse    int    // how many messages this connection had carried, this one included; 0 when none
	Delays     Delays
	Relayed    bool   // see Fate
	MaybeTwice bool   // the receiver may have it although we must try again (RFC 1047)
	Report     string // EventReported: the notification's name, or ""
}

// Delays are the four parts of Postfix's delays=a/b/c/d.
type Delays struct {
	Before, Queue, Setup, Transmit time.Duration
}

// Total is delay=: all of it.
func (d Delays) Total() time.Duration { return d.Before + d.Queue + d.Setup + d.Transmit }

// A Listener is told of every event, from the goroutine in which it happened. It must not block.
type Listener interface {
	Event(*Event)
}

// Listeners tells each in turn.
type Listeners []Listener

// Event implements Listener.
func (l Listeners) Event(e *Event) {
	for _, x := range l {
		x.Event(e)
	}
}
