package relay

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Order is how the output handler picks the next queue.
type Order uint8

const (
	// RoundRobin takes the queue that has stood in line longest.
	RoundRobin Order = iota
	// Longest takes the queue with the most nodes.
	Longest
	// LongestAged takes the longest, unless another has stood in line longer than a set time.
	LongestAged
)

// ParseOrder reads the value of queue.order.
func ParseOrder(s string) (Order, error) {
	switch s {
	case "round-robin":
		return RoundRobin, nil
	case "longest":
		return Longest, nil
	case "longest-aged":
		return LongestAged, nil
	}
	return 0, fmt.Errorf(`%q is not an order; use "round-robin", "longest" or "longest-aged"`, s)
}

// Line is queues that wait: in the handler's line for a channel, in a site's line for an agent. A queue stands in at most one line
// at a time; a second Push does nothing, so that whoever adds a node may push without asking. turns.go says who has the next turn.
// A line is linked through its queues: Push allocates nothing for a flow that waits in the line already.
type Line struct {
	ranked atomic.Bool   // the order is not RoundRobin
	signal chan struct{} // holds a token when a queue was pushed
	why    atomic.Pointer[Reason]
	failed atomic.Pointer[time.Time]
	load   load

	mu        sync.Mutex
	order     Order
	maxAge    time.Duration
	slice     int
	strands   map[*Flow]*strand // nil while there are few
	flows     int
	lanes     [2]lane
	urgentRun int // turns in a row that urgent mail had while other mail waited

	held   []*share  // whose tenants are at a limit
	again  time.Time // when to ask them again
	opened uint64    // flows.opened when they were asked last

	n   int
	seq uint64 // of the latest Push
}

// NewLine returns an empty line. maxAge counts for LongestAged only.
func NewLine(order Order, maxAge time.Duration) *Line {
	l := &Line{signal: make(chan struct{}, 1)}
	for i := range l.lanes {
		l.lanes[i].ready = *NewHeap(func(a, b *share) bool { return a.pass < b.pass }, func(s *share) *int32 { return &s.place })
	}
	l.Reorder(order, maxAge)
	return l
}

// Reorder changes the order. The queues that stand in line keep their places by arrival, and are picked by the new order.
func (l *Line) Reorder(order Order, maxAge time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.ranked.Swap(order != RoundRobin)
	l.order, l.maxAge = order, maxAge
	if was == (order != RoundRobin) {
		return
	}
	for st := range l.everyStrand {
		st.rankBy(order)
	}
}

// SetSlice says how many nodes of a queue are served before the next queue of its flow has its turn; less than 1 counts as 1.
func (l *Line) SetSlice(nodes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slice = nodes
}

// Push puts q at the end. It reports false when q stands in a line already, is claimed or gone.
func (l *Line) Push(q *Queue) bool {
	if !q.enter(QueueLined) {
		return false
	}
	l.mu.Lock()
	l.link(q)
	l.mu.Unlock()
	select {
	case l.signal <- struct{}{}:
	default:
	}
	return true
}

// Explain says why all queues of the line wait now. A line may hold a million queues, so that nobody tells each of them.
func (l *Line) Explain(why Reason) {
	l.why.Store(&why)
	l.load.hold(why.Holds())
}

// NoteFailure says when the receiver of all mail in the line was last tried in vain: with one node for all, of which the others
// that are at the end of their lives expire too.
func (l *Line) NoteFailure(at time.Time) { l.failed.Store(&at) }

// failedSince reports whether NoteFailure told of a time not before from.
func (l *Line) failedSince(from time.Time) bool {
	at := l.failed.Load()
	return at != nil && !at.Before(from)
}

// Signal delivers a token after a Push; one token may stand for several.
func (l *Line) Signal() <-chan struct{} { return l.signal }

// Pick takes the next queue that has nodes out of the line, by the line's order. It returns nil when there is none. A queue that was
// emptied while it stood in line leaves the map here. Pick asks for no limits of tenants: they are asked for each node, by
// Handler.Serve.
func (l *Line) Pick() *Queue { return l.pickBy(nil) }

// PickOpen is Pick that passes over the mail of tenants that are at a limit.
func (l *Line) PickOpen() *Queue { return l.pickBy((*Tenant).look) }

func (l *Line) pickBy(ask question) *Queue {
	for {
		q, full := l.pick(time.Now(), ask)
		if q == nil || full {
			return q
		}
		l.expel(q)
	}
}

// pick takes the next queue out of the line. It reports whether the queue has nodes.
func (l *Line) pick(now time.Time, ask question) (q *Queue, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q, full = l.choose(now, ask)
	if q != nil {
		l.unlink(q)
		// Loose before anybody looks at the nodes of q: a node added from here on pushes q again and is not missed.
		q.enter(QueueLoose)
		full = full && q.Len() > 0 // whoever took the last node since choose could not drop q, which stood in line
	}
	return q, full
}

// serve gives the queue whose node must go next, and leaves it in line, where others may be served with it at the same time. Its
// tenant has granted a transaction. serve takes queues out of the line that were emptied. It returns nil when no queue has a node
// that may go.
func (l *Line) serve(now time.Time) *Queue {
	for {
		l.mu.Lock()
		q, full := l.choose(now, (*Tenant).grant)
		if full {
			l.served(q, now)
		}
		l.mu.Unlock()
		if q == nil || full {
			return q
		}
		l.dismiss(q)
	}
}

// question is how a tenant is asked whether a share of it may go; nil: it is not asked.
type question func(*Tenant, *share, time.Time) (again time.Time, ok bool)

// choose finds the queue whose turn it is, and whose tenant may go. If that queue has nodes the turn is charged; if
// not, the queue must leave the line and somebody else has the turn.
func (l *Line) choose(now time.Time, ask question) (q *Queue, full bool) {
	if ask == nil {
		l.readmitAll()
	} else {
		l.readmit(now)
	}
	for s := l.turnOf(); s != nil; s = l.turnOf() {
		q := s.next.choose(l.order, l.maxAge, now)
		if q.Len() == 0 {
			return q, false
		}
		if ask != nil && s.tenant != nil && !l.granted(s, now, ask) {
			continue
		}
		l.charge(s)
		return q, true
	}
	return nil, false
}

// dismiss takes q out of the line, and out of the map, unless it has nodes.
func (l *Line) dismiss(q *Queue) {
	if l.remove(q) {
		l.expel(q)
	}
}

// expel lets q, which has just left the line because it was empty, leave the map.
func (l *Line) expel(q *Queue) {
	if q.dropIfEmpty(); q.Len() > 0 { // a node came between the two looks
		l.Push(q)
	}
}

// remove takes q out of the line if it still stands there.
func (l *Line) remove(q *Queue) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.line.Load() != l {
		return false
	}
	l.unlink(q)
	q.enter(QueueLoose) // loose before anybody looks at its nodes, see pick
	return true
}

// Opens is when to ask again for the mail of a tenant that Handler.Serve has passed over because it is at a limit; the zero time:
// nobody was passed over. The time may have come already.
func (l *Line) Opens(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.held) == 0:
		return time.Time{}
	case l.opened != l.held[0].tenant.opened.Load():
		return now
	}
	return l.again
}

// Holds says why Handler.Serve passes over the mail of a tenant; the zero Reason: nobody's is.
func (l *Line) Holds() Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) == 0 {
		return Reason{}
	}
	t := l.held[0].tenant
	if why := t.holds(time.Now()); why.Waits() {
		return why
	}
	return WaitFor(ReasonTenant, t.name, "tenant "+t.name+" gives its next turn to mail that has waited longer", l.again)
}

// AtLeast reports whether n nodes or more wait in the line that may go. It looks at n queues at most.
func (l *Line) AtLeast(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.readmit(now)
	for i := range l.lanes {
		for _, s := range l.lanes[i].ready.all {
			if s.tenant != nil {
				if _, ok := s.tenant.look(s, now); !ok {
					continue
				}
			}
			if n -= s.atMost(n); n <= 0 {
				return true
			}
		}
	}
	return n <= 0
}

// Len is how many queues stand in line.
func (l *Line) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// grown tells the line that q has more nodes than when it was pushed.
func (l *Line) grown(q *Queue) {
	if !l.ranked.Load() { // without the lock: most lines are in this order, and every growing queue asks
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.order != RoundRobin && q.line.Load() == l {
		q.rank = q.Len()
		q.strand.byLen.Moved(q)
	}
}

func (l *Line) link(q *Queue) {
	st := l.strandOf(q.Flow)
	q.line.Store(l)
	l.weigh(q)
	l.seq++
	q.strand, q.inLine, q.turn, q.served = st, time.Now(), l.seq, 0
	q.Flow.owner().recall(st.share, q)
	st.link(q)
	l.n++
	if st.byLen != nil {
		q.rank = q.Len()
		st.byLen.Insert(q)
	}
}

func (l *Line) unlink(q *Queue) {
	st := q.strand
	q.Flow.owner().remember(st.share, q)
	st.unlink(q)
	l.n--
	if st.byLen != nil {
		st.byLen.Remove(q)
	}
	q.strand = nil
	l.leave(q)
	if st.first == nil {
		l.dropStrand(st)
	}
}
