package relay

import (
	"hash/maphash"
	"strings"
	"sync"
	"unicode/utf8"
)

// Bytes that a message with its first node, each further node, a recipient, a queue and a wait take on the heap beside their text, the
// journal's part included: measured with TestWeighed in package snapshot.
const (
	messageCost = 330
	nodeCost    = 385
	rcptCost    = 8
	queueCost   = 300
	waitCost    = 60  // of a node that is deferred: its domain among the deferred ones
	stateCost   = 350 // of a message that has such nodes: its state in the journal
)

// weigh is the bytes that msg takes in memory, its content apart.
func (m *Message) weigh() int64 {
	text := len(m.QueueID()) + len(m.Client()) + len(m.From()) + len(m.EnvID())
	for _, r := range m.Rcpts {
		text += rcptCost + len(r.Addr) + len(r.ORcpt) + len(r.Notify)
	}
	return messageCost + int64(m.NodeCount()-1)*nodeCost + heapSize(text)
}

// heapSize is about the memory that the runtime takes for an allocation of n bytes: its size classes are an eighth apart, and what is
// larger than 32 KiB takes whole pages.
func heapSize(n int) int64 {
	const page, large = 8 << 10, 32 << 10
	switch {
	case n == 0:
		return 0
	case n > large:
		return int64(n+page-1) / page * page
	}
	return int64(n + n/16 + 8)
}

func textSize(s string) int64 { return heapSize(len(s)) }

// The receiver chooses the length of the reason for which a node waits. These bound it, in bytes; the second when more memory
// is used than may be.
const (
	maxReason   = 512
	leastReason = 80
)

// noteReason keeps a copy of text, cut at the bound, as the reason for which busy node n waits, and charges it.
func (m *QueueMap) noteReason(n *Node, text string) {
	most := maxReason
	if m.budget.Over() {
		most = leastReason
	}
	reason := m.reasons.same(Clip(text, most))
	if reason == "" && n.aside == nil {
		return
	}
	n.beside().reason = reason
	size := textSize(reason)
	if size > 0 {
		size += waitCost + stateCost/int64(n.Message.NodeCount())
	}
	m.chargeReason(n, int(size))
}

// forgetReason gives back what the reason of a node that is gone was charged.
func (m *QueueMap) forgetReason(n *Node) { m.chargeReason(n, 0) }

func (m *QueueMap) chargeReason(n *Node, size int) {
	if n.aside != nil {
		m.budget.Charge(n.Message.account(), int64(size)-int64(n.aside.charged))
		n.aside.charged = int32(size)
	}
}

// Clip is the beginning of text, most bytes of it or somewhat less, so that no character is cut.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// reasons remembers the last reasons, so that nodes that wait for equal ones share the text.
type reasons struct {
	seed maphash.Seed

	mu   sync.Mutex
	last [256]string // by hash
}

// same returns a string equal to text that does not keep a larger one alive.
func (r *reasons) same(text string) string {
	if text == "" {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	slot := &r.last[maphash.String(r.seed, text)%uint64(len(r.last))]
	if *slot != text {
		*slot = strings.Clone(text)
	}
	return *slot
}
