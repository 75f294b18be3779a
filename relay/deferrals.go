package relay

import (
	"context"
	"sync"
	"time"
)

// maxSleep bounds one sleep of the timer. Due times are read from the wall clock after a restart, and a clock that is
// corrected must be noticed within a minute.
const maxSleep = time.Minute

// Deferrals is the one timer structure in which every deferred node waits for its Due.
type Deferrals struct {
	wake chan struct{} // holds a token when the earliest node changed

	mu   sync.Mutex
	heap *Heap[*Node] // the earliest Due first
}

// NewDeferrals returns a Deferrals without nodes.
func NewDeferrals() *Deferrals {
	return &Deferrals{wake: make(chan struct{}, 1), heap: NewHeap(
		func(a, b *Node) bool { return a.due < b.due || a.due == b.due && a.Message.ID < b.Message.ID },
		func(n *Node) *int32 { return &n.heapIndex },
	)}
}

// Defer makes n wait until n.Due.
func (d *Deferrals) Defer(n *Node) {
	if d.insert(n) {
		d.nudge()
	}
}

// insert is Defer without the signal to Run, which the caller gives by nudge if insert reports true.
func (d *Deferrals) insert(n *Node) (earliest bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heap.Insert(n)
	return n.heapIndex == 0
}

// nudge makes Run look at the earliest node.
func (d *Deferrals) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// cancel takes n out before its time. It reports false when n is not here: Run has just handed it on.
func (d *Deferrals) cancel(n *Node) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n.heapIndex < 0 {
		return false
	}
	d.heap.Remove(n)
	return true
}

// Run hands each node to ready when it is due, until ctx is done.
func (d *Deferrals) Run(ctx context.Context, ready func(*Node)) {
	timer := time.NewTimer(maxSleep)
	defer timer.Stop()
	for {
		n, wait := d.earliest()
		if n != nil {
			ready(n)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-timer.C:
		}
	}
}

// earliest takes out the earliest node if it is due; else it says how long to sleep.
func (d *Deferrals) earliest() (*Node, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.heap.Len() == 0 {
		return nil, maxSleep
	}
	if wait := time.Until(d.heap.First().Due()); wait > 0 {
		return nil, min(wait, maxSleep)
	}
	return d.heap.Shift(), 0
}

// Len is how many nodes wait.
func (d *Deferrals) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.heap.Len()
}

// deferUntil makes n, which is in no queue, wait in d until due, or as the lever wants.
func (m *QueueMap) deferUntil(n *Node, due time.Time, d *Deferrals) {
	s := m.shard(n.Domain)
	if m.divert(s, n, m.lockDecided(s, n), true) {
		return
	}
	n.due, n.state = instantOf(due), stateDeferred
	s.note(m.key(n), 1, 0)
	first := d.insert(n)
	s.mu.Unlock()
	if first {
		d.nudge()
	}
}

// undefer counts n out again; it is busy from now on. It returns the decree by which n was held, or nil.
func (m *QueueMap) undefer(n *Node) (by *decree) {
	s := m.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recall(n, m.key(n))
}
