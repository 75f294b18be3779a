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

// Line is queues that wait: in the handler's line for a channel, in a site's line for an agent. A queue stands in at most one line at a time; a second Push does nothing, so
// that whoever adds a node may push without asking. A line is linked through its queues: Push allocates nothing.
type Line struct {
	ranked atomic.Bool   // the order is not RoundRobin: byLen is kept
	signal chan struct{} // holds a token when a queue was pushed
	why    atomic.Pointer[Reason]

	mu     sync.Mutex
	order  Order
	maxAge time.Duration
	first  *Queue // by arrival
	last   *Queue
	byLen  *Heap[*Queue] // the longest first, the earlier one among equals; nil when the order is RoundRobin
	n      int
	seq    uint64 // of the latest Push
}

// NewLine returns an empty line. maxAge counts for LongestAged only.
func NewLine(order Order, maxAge time.Duration) *Line {
	l := &Line{signal: make(chan struct{}, 1)}
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
	l.byLen = nil
	if was {
		return
	}
	l.byLen = NewHeap(
		func(a, b *Queue) bool { return a.rank > b.rank || a.rank == b.rank && a.turn < b.turn },
		func(q *Queue) *int { return &q.rankIndex },
	)
	for q := l.first; q != nil; q = q.behind {
		l.rank(q)
	}
}

// rank puts q among the others by its length. The mutex is held.
func (l *Line) rank(q *Queue) {
	q.rank = q.Len()
	l.byLen.Insert(q)
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

// Park puts q at the end, as Push does, and says why it waits there.
func (l *Line) Park(q *Queue, why Reason) bool {
	q.Wait(why)
	return l.Push(q)
}

// Explain says why all queues of the line wait now. It is shown in place of what Park said, which may be an old reason: a line may
// hold a million queues, so that nobody tells each of them.
func (l *Line) Explain(why Reason) { l.why.Store(&why) }

// Signal delivers a token after a Push; one token may stand for several.
func (l *Line) Signal() <-chan struct{} { return l.signal }

// Pick takes the next queue that has nodes out of the line, by the line's order. It returns nil when there is none. A
// queue that was emptied while it stood in line leaves the map here.
func (l *Line) Pick() *Queue {
	for q := l.pick(); q != nil; q = l.pick() {
		if q.Len() > 0 {
			return q
		}
		q.dropIfEmpty()
	}
	return nil
}

// pick takes the next queue out of the line, empty or not.
func (l *Line) pick() *Queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.choose()
	if q == nil {
		return nil
	}
	l.unlink(q)
	// Loose before anybody looks at the nodes of q: a node added from here on pushes q again and is not missed.
	q.enter(QueueLoose)
	return q
}

// Serve gives the queue whose node must go next, by the line's order, and leaves it in line, where others may be served with it at
// the same time. It takes queues out of the line that were emptied. It returns nil when no queue has a node.
func (l *Line) Serve() *Queue {
	l.mu.Lock()
	q := l.choose()
	l.mu.Unlock()
	for q != nil && q.Len() == 0 {
		if l.remove(q) {
			if q.dropIfEmpty(); q.Len() > 0 { // a node came between the two looks
				l.Push(q)
			}
		}
		l.mu.Lock()
		q = l.choose()
		l.mu.Unlock()
	}
	return q
}

// SetSlice says how many nodes of a queue are served before the next queue of its flow has its turn; less than 1 counts as 1.
func (l *Line) SetSlice(nodes int) {}

// Opens is when a tenant that Serve and Pick have passed over may go again; the zero time: they passed over nobody.
func (l *Line) Opens(now time.Time) time.Time { return time.Time{} }

// Holds says why Serve and Pick pass over the mail of a tenant; the zero Reason: they pass over nobody.
func (l *Line) Holds() Reason { return Reason{} }

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

// AtLeast reports whether n nodes or more wait in the line. It looks at n queues at most.
func (l *Line) AtLeast(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q := l.first; q != nil && n > 0; q = q.behind {
		n -= q.Len()
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
		l.byLen.Moved(q)
	}
}

func (l *Line) choose() *Queue {
	switch {
	case l.first == nil || l.order == RoundRobin:
		return l.first
	case l.order == LongestAged && time.Since(l.first.inLine) > l.maxAge:
		return l.first
	}
	return l.byLen.First()
}

func (l *Line) link(q *Queue) {
	q.line.Store(l)
	l.seq++
	q.inLine, q.turn = time.Now(), l.seq
	q.ahead, q.behind = l.last, nil
	if l.last != nil {
		l.last.behind = q
	} else {
		l.first = q
	}
	l.last = q
	l.n++
	if l.order != RoundRobin {
		l.rank(q)
	}
}

func (l *Line) unlink(q *Queue) {
	if q.ahead != nil {
		q.ahead.behind = q.behind
	} else {
		l.first = q.behind
	}
	if q.behind != nil {
		q.behind.ahead = q.ahead
	} else {
		l.last = q.ahead
	}
	q.ahead, q.behind = nil, nil
	l.n--
	if l.order != RoundRobin {
		l.byLen.Remove(q)
	}
	q.line.Store(nil)
}
