package relay

import "time"

// A Journal makes messages recoverable. The recovery agent in package snapshot is one.
type Journal interface {
	// Take records m, whose ID, envelope, Nodes and Wrapper are set. It returns nil only when m is as safe as the
	// journal promises; the door then answers for it. It may block on the disk.
	Take(m *Message) error
	// Event records what is decided: EventSettled that is Sent or HandedBack, EventReported, EventDeferred and
	// EventRemoved. It must not block.
	Listener
}

// Saved is a message as the recovery agent found it, for QueueMap.Restore.
type Saved struct {
	Message *Message // Body is set, Wrapper and Nodes are not
	Nodes   []SavedNode
}

// SavedNode is how far one node had got.
type SavedNode struct {
	Index  int    // its place in Message.Nodes: the Index-th distinct domain among the recipients
	Rcpts  []int  // recipients not yet settled
	Class  string // routing class at that time
	Visits int
	Due    time.Time // zero when it was not deferred
	Reason string
}

// NoJournal promises nothing: for tests and measurements of the heart alone.
type NoJournal struct{}

// Take implements Journal.
func (NoJournal) Take(*Message) error { return nil }

// Event implements Listener.
func (NoJournal) Event(*Event) {}
