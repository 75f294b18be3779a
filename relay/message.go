package relay

import (
	"strconv"
	"sync/atomic"
	"time"
)

// ID names a message for ever: never reused, also not after everything has drained or the daemon was restarted, so that
// an old "done" mark can never fit a new message.
type ID uint64

// String gives the ID in base 36, as the mail log shows it when the MTA named none.
func (id ID) String() string { return strconv.FormatUint(uint64(id), 36) }

// Message is one message as it was taken. Once accepted it does not change, but for the state of its nodes.
type Message struct {
	ID      ID
	QueueID string // the MTA's queue id, or "" (a short Postfix id is reused quickly: it is for the log, never a key)
	Envelope

	Content Content // its bytes; Accept puts the shared part into a Wrapper

	Class   string    // routing class: ClassRemote or ClassInject
	Rule    string    // the bulk rule that took it
	Client  string    // who gave it to the MTA, "name[address]"
	Arrived time.Time // when its MAIL command came
	Taken   time.Time // when it was accepted

	Nodes []*Node // one per destination domain, in order of first mention

	cost int64        // the bytes that it takes in memory, the shared part apart
	open atomic.Int32 // nodes that still have recipients, and holds
}

// Routing classes.
const (
	// ClassRemote is mail for the receivers.
	ClassRemote = ""
	// ClassInject is mail for our own MTA: bounces, and messages handed back.
	ClassInject = "inject"
)

// Name is how the log calls the message: by the MTA's queue id when there is one.
func (m *Message) Name() string {
	if m.QueueID != "" {
		return m.QueueID
	}
	return m.ID.String()
}

// Hold keeps the message in memory and in the journal until QueueMap.Release, for a reader that needs it after its last
// recipient was settled.
func (m *Message) Hold() { m.open.Add(1) }

// Open reports whether some recipient of the message is still to be settled or somebody holds it.
func (m *Message) Open() bool { return m.open.Load() > 0 }
