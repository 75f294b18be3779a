package relay

import "time"

// Node is one message's business with one destination domain: the recipients there and how far it got.
// The mutex of its shard guards its fields while it waits. While it is busy they belong to one goroutine: that of its Visit,
// of the sweep, or of the deferrals.
type Node struct {
	Message *Message
	Index   int    // its place in Message.Nodes
	Domain  string // lower-case A-label, the queue's domain
	Class   string // routing class; a node that is handed back moves to ClassInject

	Rcpts  []int     // the recipients not yet settled, as indexes into Message.Rcpts
	Visits int       // attempts so far, also across restarts
	Due    time.Time // not before, while deferred
	Reason string    // why it waits: the last reply or error; "" before the first visit
	Avoid  string    // host of the site that must not be visited next, because it just failed and another may not
	Near   bool      // when its message is taken: its first visit will begin at once, so the journal may record both together

	state         state
	room          *Room // whose place it takes; nil: no gate counts it
	handback      bool  // it is on its way back to the MTA
	told          int   // bytes of Reason that are charged to the Budget
	faults        int   // visits that ended by a fault of our own
	requeues      int   // times it went back to the front without being charged, since the last charged visit
	queue         *Queue
	prev, next    *Node
	heapIndex     int     // its place among the Deferrals
	peers         *peers  // while it waits in a queue: the nodes that are as old
	elder, junior *Node   // of peers
	later         []int   // deferred recipients that wait for Rcpts, which go first
	decree        *decree // of a held node: by which it waits; of a busy one: the deed that is done when its visit ends
}

// Requeues is how often the node went straight back to the front of its queue since its last charged visit.
func (n *Node) Requeues() int { return n.requeues }

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
