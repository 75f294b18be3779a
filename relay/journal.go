package relay

import "time"

// A Journal makes messages recoverable. The recovery agent in package snapshot is one.
type Journal interface {
	// Take records m, whose ID, envelope, Nodes and Wrapper are set. It returns nil only when m is as safe as the
	// journal promises; the door then answers for it. It may block on the disk.
	Take(m *Message) error
	// Begin records that n is about to be sent, so that a restart knows whose receiver may have answered for it unheard.
	// It does not wait; whoever sends does, before the last byte goes out. A nil Record needs no waiting for.
	Begin(n *Node) Record
	// Unwritable returns why nothing can be recorded now, or nil. Nothing may be sent meanwhile: it would be sent again.
	Unwritable() error
	// Event records what is decided: EventHeard, EventHungUp, EventSettled that is Sent, HandedBack or MaybeTwice,
	// EventReported, EventDeferred, EventPutBack and EventRemoved. It must not block.
	Listener
}

// A Record is something on its way into the journal.
type Record interface {
	// Done returns a channel that is closed when the record is as safe as the journal promises, or will never be. Whoever
	// asks is in a hurry.
	Done() <-chan struct{}
	// Err is why the record will never be, when Done is closed, or nil.
	Err() error
}

// Saved is a message as the recovery agent found it, for QueueMap.Restore.
type Saved struct {
	Message *Message    // Body is set, Wrapper and Nodes are not
	Nodes   []SavedNode // empty when it is Unheard only
	Unheard bool        // the MTA may not know that it was taken, and offer it again, whoever is settled
}

// SavedNode is how far one node had got.
type SavedNode struct {
	Index  int    // its place in Message.Nodes: the Index-th distinct domain among the recipients
	Rcpts  []int  // recipients not yet settled
	Class  string // routing class at that time
	Visits int
	Due    time.Time // zero when it was not deferred
	Reason string
	Begun  bool // it was being sent when the daemon ended: the receivers may have the message
}

// NoJournal promises nothing: for tests and measurements of the heart alone.
type NoJournal struct{}

// Take implements Journal.
func (NoJournal) Take(*Message) error { return nil }

// Begin implements Journal.
func (NoJournal) Begin(*Node) Record { return nil }

// Unwritable implements Journal.
func (NoJournal) Unwritable() error { return nil }

// Event implements Listener.
func (NoJournal) Event(*Event) {}
