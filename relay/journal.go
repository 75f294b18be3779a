package relay

import "time"

// A Journal makes messages recoverable. The recovery agent in package snapshot is one.
type Journal interface {
	// Take records m, whose ID, envelope, Nodes and Content are set, the shared part in a Wrapper. It returns nil only when m is as safe as the
	// journal promises; the door then answers for it. It may block on the disk.
	Take(m *Message) error
	// Begin records that n is about to be sent. If the daemon ends before a reply is on record, the next start knows that
	// the receiver may have the message. Begin does not wait: the sender waits for the Record, before the last byte goes
	// out. A nil Record needs no waiting: the journal may have recorded it with the message, see Node.Near, or before, see Expect.
	Begin(n *Node) Record
	// Expect records that nodes which wait are about to be sent, so that the Record of Begin is there when they are. Nothing depends
	// on it but time: a node that is not sent soon is forgotten again.
	Expect(nodes []*Node)
	// Unwritable returns why nothing can be recorded now, or nil. Nothing may be sent meanwhile: the next start would not
	// know of it and send it again.
	Unwritable() error
	// Event records decisions: EventHeard, EventHungUp, EventSettled when it is Sent, HandedBack, Deleted or MaybeTwice,
	// EventReported, EventDeferred, EventPutBack and EventRemoved. It must not block.
	Listener
}

// A Record is something on its way into the journal.
type Record interface {
	// Done returns a channel that is closed when the record is as safe as the journal promises, or will never be. A call
	// of Done hurries the commit: somebody waits.
	Done() <-chan struct{}
	// Err is why the record failed, or nil. It is valid when Done is closed.
	Err() error
}

// Saved is a message as the recovery agent found it, for QueueMap.Restore.
type Saved struct {
	Message *Message    // without Nodes
	Nodes   []SavedNode // empty when every recipient is done and the message is here for Unheard only
	Unheard bool        // the MTA may not know that the message was taken, and may offer it again to all recipients
}

// SavedNode is how far one node had got.
type SavedNode struct {
	Index  int    // its place among the nodes of the message: the Index-th distinct domain among the recipients
	Rcpts  []int  // recipients not yet settled
	Class  string // routing class at that time
	Visits int
	Due    time.Time // zero when it was not deferred
	Reason string
	Begun  bool // delivery was started and no reply is on record: the receiver may have the message
}

// NoJournal records nothing and promises nothing. It is for tests and measurements of the heart alone.
type NoJournal struct{}

// Take implements Journal.
func (NoJournal) Take(*Message) error { return nil }

// Begin implements Journal.
func (NoJournal) Begin(*Node) Record { return nil }

// Expect implements Journal.
func (NoJournal) Expect([]*Node) {}

// Unwritable implements Journal.
func (NoJournal) Unwritable() error { return nil }

// Event implements Listener.
func (NoJournal) Event(*Event) {}
