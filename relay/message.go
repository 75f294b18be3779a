package relay

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// ID names a message for ever: never reused, also not after everything has drained or the daemon was restarted, so that
// an old "done" mark can never fit a new message.
type ID uint64

// idDigits are the digits of an ID in writing. Tools for Postfix's log know two forms of queue ids: capitals and digits, and
// (enable_long_queue_ids) digits and letters without vowels. These digits fit both.
const idDigits = "0123456789BCDFGHJKLMNPQRSTVWXYZ"

// String gives the ID as the mail log shows it when the MTA named none.
func (id ID) String() string {
	const base = ID(len(idDigits))
	var b [13]byte // 31 to the 13th is over 1<<64
	i := len(b) - 1
	for ; id >= base; i-- {
		b[i] = idDigits[id%base]
		id /= base
	}
	b[i] = idDigits[id]
	return string(b[i:])
}

// parseIDs gives the IDs that s may stand for. People type either case, and a log from before an upgrade has the form of then,
// base 36 in lower case.
func parseIDs(s string) []ID {
	var ids []ID
	if id, ok := ParseID(strings.ToUpper(s)); ok {
		ids = append(ids, id)
	}
	if old, err := strconv.ParseUint(s, 36, 64); err == nil && s == strings.ToLower(s) && !slices.Contains(ids, ID(old)) {
		ids = append(ids, ID(old))
	}
	return ids
}

// ParseID reads what String writes. It reports false for anything else.
func ParseID(s string) (id ID, ok bool) {
	for i := range len(s) {
		digit := strings.IndexByte(idDigits, s[i])
		if digit < 0 {
			return 0, false
		}
		id = id*ID(len(idDigits)) + ID(digit)
	}
	return id, id.String() == s // false for zeros in front, and for a number over 64 bits
}

// Message is one message as it was taken. Once accepted it does not change, but for the state of its nodes.
type Message struct {
	ID      ID
	QueueID string // the MTA's queue id, or "" (a short Postfix id is reused quickly: it is for the log, never a key)
	Envelope

	Content Content // its bytes; Accept puts the shared part into a Wrapper

	// Reserved is what the door has reserved for the message in the Budget, in bytes. Accept takes it over; when Accept fails
	// the door still has it.
	Reserved int64
	// Grant has the places that the gate has granted the message; nil: it was not asked. Accept redeems them; when Accept fails the
	// door still has them.
	Grant *Grant

	Class   string    // routing class: ClassRemote or ClassInject
	Flow    FlowName  // the mail with which it takes turns
	Rule    string    // the bulk rule that took it
	Client  string    // who gave it to the MTA, "name[address]"
	Arrived time.Time // when its MAIL command came
	Taken   time.Time // when it was accepted

	Nodes []*Node // one per destination domain, in order of first mention

	restored time.Time     // when this start brought it back; zero: it was taken in this start
	age      time.Duration // how old it was then

	room *Room        // of its tenant; nil: no gate counts it
	flow *Flow        // of Flow, while the message is in the map
	cost int64        // the bytes that it takes in memory, the shared part apart
	open atomic.Int32 // nodes that still have recipients, and holds
}

// Routing classes.
const (
	// ClassRemote is mail for the receivers.
	ClassRemote = ""
	// ClassInject is mail for our own MTA: bounces, and messages handed back. Without an MTA it is bounces alone, for their receivers.
	ClassInject = "inject"
)

// Name is how the log calls the message: by the MTA's queue id when there is one.
func (m *Message) Name() string {
	if m.QueueID != "" {
		return m.QueueID
	}
	return m.ID.String()
}

// noteRestored notes that the message came back at now. A message from the future was taken while the clock was wrong, and
// counts as new. Its own times stay as they are: they are what the log, the notification and the journal say of it.
func (m *Message) noteRestored(now time.Time) { m.restored, m.age = now, max(now.Sub(m.Arrived), 0) }

// ageFrom is when the message's life began. For a message that was brought back it is counted from then on by the monotonic
// clock, so that a correction of the wall clock changes nothing.
func (m *Message) ageFrom() time.Time {
	if m.restored.IsZero() {
		return m.Arrived
	}
	return m.restored.Add(-m.age)
}

// Hold keeps the message in memory and in the journal until QueueMap.Release, for a reader that needs it after its last
// recipient was settled.
func (m *Message) Hold() { m.open.Add(1) }

// Open reports whether some recipient of the message is still to be settled or somebody holds it.
func (m *Message) Open() bool { return m.open.Load() > 0 }
