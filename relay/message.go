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

// Message is one message as it was taken. It is immutable once accepted but for the counters of its nodes.
// Its bytes on the wire are Trace, Header, an empty line and the wrapper's body.
type Message struct {
	ID      ID
	QueueID string // the MTA's queue id, or "" (a short Postfix id is reused quickly: it is for the log, never a key)
	Envelope

	Trace  []byte // our own Received field (RFC 5321 section 4.4), CRLF at the end
	Header []byte // the header as taken, byte for byte, without the empty line that ends it
	Body   []byte // the body as taken; Accept moves it into the Wrapper and sets it to nil

	Wrapper  *Wrapper
	EightBit bool // some byte has the high bit set: needs 8BITMIME (RFC 6152)

	Class   string    // routing class: ClassRemote or ClassInject
	Rule    string    // the bulk rule that took it
	Client  string    // who gave it to the MTA, "name[address]"
	Arrived time.Time // when its MAIL command came
	Taken   time.Time // when it was accepted

	Nodes []*Node // one per destination domain, in order of first mention

	cost int64        // what it takes in memory, the shared body apart
	open atomic.Int32 // nodes that still have recipients, and holds
}

// Routing classes.
const (
	// ClassRemote is mail for the receivers.
	ClassRemote = ""
	// ClassInject is mail for our own MTA: bounces, and messages handed back.
	ClassInject = "inject"
)

var crlf = []byte("\r\n")

// Content returns the message's bytes for the wire, in pieces; they must not be changed.
func (m *Message) Content() [][]byte {
	return [][]byte{m.Trace, m.Header, crlf, m.body()}
}

func (m *Message) body() []byte {
	if m.Wrapper != nil {
		return m.Wrapper.Body
	}
	return m.Body
}

// Size is the number of bytes of Content.
func (m *Message) Size() int64 {
	return int64(len(m.Trace) + len(m.Header) + len(crlf) + len(m.body()))
}

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
