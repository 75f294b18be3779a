package relay

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unique"
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

// Message is one message. A door makes it with a Slip. Accept packs that, and from then on the message does not change, but for the
// state of its nodes. The methods say before and after what stands on the slip. A million of them wait: a message with one node is one
// block of 256 bytes, its text and its content apart.
type Message struct {
	ID      ID
	Slip    *Slip   // nil once the message is accepted or restored
	Content Content // its bytes; Accept puts the shared part into a Wrapper

	packed  packed             // of the slip what is the message's own
	kin     unique.Handle[kin] // of the slip what it has in common with others
	arrived int64              // when its MAIL command came, in Unix nanoseconds
	taken   time.Duration      // from its arrival until it was accepted
	born    instant            // when its life began

	room *Room        // of its tenant; nil: no gate counts it
	cost uint32       // the bytes that it takes in memory, the shared part apart
	open atomic.Int32 // nodes that still have recipients, and holds

	first  Node    // of the domain that is mentioned first
	others *[]Node // of the further domains, in order of first mention; nil: there are none
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
	if id := m.QueueID(); id != "" {
		return id
	}
	return m.ID.String()
}

// ageFrom is when the message's life began. It is counted by the monotonic clock, so that a correction of the wall clock changes
// nothing.
func (m *Message) ageFrom() time.Time {
	if m.Slip != nil {
		return m.Slip.Arrived
	}
	return m.born.time()
}

// waitsFrom is since when the message waits to be sent: Taken, by the monotonic clock if it was taken in this start.
func (m *Message) waitsFrom() time.Time {
	if m.Slip != nil || m.heading().restored != 0 {
		return m.Taken()
	}
	return m.born.time().Add(m.taken)
}

// NodeCount is the number of its nodes, one per destination domain.
func (m *Message) NodeCount() int {
	switch {
	case m.first.Message == nil:
		return 0
	case m.others == nil:
		return 1
	}
	return 1 + len(*m.others)
}

// Node is its i-th node, in order of first mention of their domains.
func (m *Message) Node(i int) *Node {
	if i == 0 {
		return &m.first
	}
	return &(*m.others)[i-1]
}

// Nodes yields its nodes, in this order.
func (m *Message) Nodes(yield func(int, *Node) bool) {
	for i := range m.NodeCount() {
		if !yield(i, m.Node(i)) {
			return
		}
	}
}

// appendNodes appends the nodes to list.
func (m *Message) appendNodes(list []*Node) []*Node {
	for _, n := range m.Nodes {
		list = append(list, n)
	}
	return list
}

// Address gives the message its nodes. name is what the queue for the domain of a recipient is called.
func (m *Message) Address(name func(domain string) string) {
	if m.RcptCount() == 1 {
		m.first = newNode(m, 0, name(Domain(m.Rcpt(0).Addr)))
		return
	}
	var domains []string
	rcpts := make(map[string][]int, 4)
	for i, r := range m.Rcpts {
		d := name(Domain(r.Addr))
		if rcpts[d] == nil {
			domains = append(domains, d)
		}
		rcpts[d] = append(rcpts[d], i)
	}
	m.addNodes(domains, rcpts)
}

// addNodes makes a node for each domain, with its recipients.
func (m *Message) addNodes(domains []string, rcpts map[string][]int) {
	if len(domains) > 1 {
		others := make([]Node, len(domains)-1)
		m.others = &others
	}
	for i, d := range domains {
		n := m.Node(i)
		*n = newNode(m, i, d)
		n.setRcpts(slices.Clone(rcpts[d])) // without room for more
	}
}

// Hold keeps the message in memory and in the journal until QueueMap.Release, for a reader that needs it after its last
// recipient was settled.
func (m *Message) Hold() { m.open.Add(1) }

// Open reports whether some recipient of the message is still to be settled or somebody holds it.
func (m *Message) Open() bool { return m.open.Load() > 0 }
