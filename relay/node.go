package relay

import "time"

// Node is one message's business with one destination domain: the recipients there and how far it got.
// The mutex of its shard guards its fields while it waits. While it is busy they belong to one goroutine: that of its Visit,
// of the sweep, or of the deferrals.
type Node struct {
	Message *Message
	Domain  string // lower-case A-label, the queue's domain

	queue         *Queue
	prev, next    *Node
	peers         *peers  // while it waits: the nodes that are as old, or due in the same second
	elder, junior *Node   // of peers
	room          *Room   // whose place it takes; nil: no gate counts it
	decree        *decree // of a held node: by which it waits; of a busy one: the deed that is done when its visit ends
	due           instant
	aside         *aside // nil: nothing is to be said

	heapIndex int32 // its place in the heap of the Deferrals
	Index     int32 // its place among the nodes of the Message
	Visits    int32 // attempts so far, also across restarts
	state     state
	Near      bool // when its message is taken: its first visit will begin at once, so the journal may record both together
	inject    bool // its class is ClassInject, and not that of the message perhaps
	handback  bool // it is on its way back to the MTA
}

// aside is what is to be said of a node that failed, or does not have all recipients of its message.
type aside struct {
	some   bool   // rcpts are the open recipients; else all of the message are open
	rcpts  []int  // as indexes into those of the message
	later  []int  // deferred recipients that wait for rcpts, which go first
	reason string // why it waits: the last reply or error
	avoid  string // host of the site that must not be visited next, because it just failed and another may not

	charged  int32 // bytes of reason that are charged to the Budget
	faults   int32 // visits that ended by a fault of our own
	requeues int32 // times it went back to the front without being charged, since the last charged visit
}

// newNode is the node of m for a domain, with all recipients of m.
func newNode(m *Message, index int, domain string) Node {
	return Node{Message: m, Index: int32(index), Domain: domain, inject: m.Class() == ClassInject, heapIndex: -1}
}

// Class is the routing class. A node that is handed back moves to ClassInject.
func (n *Node) Class() string {
	if n.inject {
		return ClassInject
	}
	return ClassRemote
}

// everyone are the indexes of the recipients of nearly all messages.
var everyone = [...]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// Rcpts are the recipients not yet settled, as indexes into those of the message. They must not be changed.
func (n *Node) Rcpts() []int {
	if n.aside != nil && n.aside.some {
		return n.aside.rcpts
	}
	if n.state == stateGone {
		return nil
	}
	count := n.Message.RcptCount()
	if count <= len(everyone) {
		return everyone[:count:count]
	}
	all := make([]int, count)
	for i := range all {
		all[i] = i
	}
	return all
}

// setRcpts makes rcpts the recipients that are not yet settled. It keeps them.
func (n *Node) setRcpts(rcpts []int) {
	if len(rcpts) < n.Message.RcptCount() {
		a := n.beside()
		a.some, a.rcpts = true, rcpts
	} else if n.aside != nil {
		n.aside.some, n.aside.rcpts = false, nil
	}
}

// beside is what is to be said of n, to be changed.
func (n *Node) beside() *aside {
	if n.aside == nil {
		n.aside = new(aside)
	}
	return n.aside
}

// later are the deferred recipients that wait until those of Rcpts are settled.
func (n *Node) later() []int {
	if n.aside == nil {
		return nil
	}
	return n.aside.later
}

// setLater makes rcpts those of later.
func (n *Node) setLater(rcpts []int) {
	if n.aside != nil || len(rcpts) > 0 {
		n.beside().later = rcpts
	}
}

// openRcpts is how many recipients are not yet settled.
func (n *Node) openRcpts() int { return len(n.Rcpts()) + len(n.later()) }

// Due is before when n is not visited again; zero: it is not deferred.
func (n *Node) Due() time.Time { return n.due.time() }

// Reason is why n waits: the last reply or error; "" before the first visit.
func (n *Node) Reason() string {
	if n.aside == nil {
		return ""
	}
	return n.aside.reason
}

// Avoid is the host of the site that must not be visited next, because it just failed and another may not; "": none.
func (n *Node) Avoid() string {
	if n.aside == nil {
		return ""
	}
	return n.aside.avoid
}

// avoid has host avoided.
func (n *Node) avoid(host string) {
	if n.aside != nil || host != "" {
		n.beside().avoid = host
	}
}

// Requeues is how often the node went straight back to the front of its queue since its last charged visit.
func (n *Node) Requeues() int {
	if n.aside == nil {
		return 0
	}
	return int(n.aside.requeues)
}

// setRequeues notes how often.
func (n *Node) setRequeues(times int) {
	if n.aside != nil || times > 0 {
		n.beside().requeues = int32(times)
	}
}

// Resume takes over how far a node had got when it was recorded.
func (n *Node) Resume(s SavedNode) {
	n.setRcpts(s.Rcpts)
	n.Visits, n.due, n.state = int32(s.Visits), instantOf(s.Due), stateNew
	if s.Class != n.Message.Class() {
		n.inject, n.handback = s.Class == ClassInject, true
	}
	if s.Reason != "" {
		n.beside().reason = s.Reason
	}
}

// state is where a node is.
type state uint8

const (
	stateNew      state = iota // not yet linked
	stateActive                // waits in its queue
	stateBusy                  // owned by one goroutine
	stateDeferred              // waits for Due
	stateGone                  // every recipient is settled
	stateHeld                  // waits by the lever's decree
)

var stateNames = [...]string{"new", "active", "busy", "deferred", "gone", "held"}

// String implements fmt.Stringer. The names stand in the console's lists.
func (s state) String() string { return stateNames[s] }
