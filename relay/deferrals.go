package relay

import (
	"context"
	"sync"
	"time"
)

// maxSleep bounds one sleep of the timer. Due times are read from the wall clock after a restart, and a clock that is
// corrected must be noticed within a minute.
const maxSleep = time.Minute

// Deferrals is the one timer structure in which every deferred node waits for its Due. Most wait for hours, and many leave before
// their time: an admin moves a million of them at once. So they stand in lists by the second of their Due, which a node joins and
// leaves at the same small cost, however many there are. Nodes whose second has come move into a heap, a few at a time.
type Deferrals struct {
	wake chan struct{} // holds a token when the earliest node changed

	mu    sync.Mutex
	later *ages        // by the second of their Due
	soon  *Heap[*Node] // the earliest Due first
	n     int          // nodes in both
}

// NewDeferrals returns a Deferrals without nodes.
func NewDeferrals() *Deferrals {
	return &Deferrals{wake: make(chan struct{}, 1), later: newAges(time.Now()), soon: NewHeap(
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
	d.later.add(n, n.Due())
	d.n++
	first := d.later.order.First()
	return n.peers == first && (first.eldest == n || first.second <= d.later.second(time.Now()))
}

// nudge makes Run look at the earliest node.
func (d *Deferrals) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// has reports whether n waits here: Run has not handed it on.
func (d *Deferrals) has(n *Node) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return n.peers != nil || n.heapIndex >= 0
}

// cancel takes n out before its time. It reports false when n is not here: Run has just handed it on.
func (d *Deferrals) cancel(n *Node) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case n.peers != nil:
		d.later.drop(n)
	case n.heapIndex >= 0:
		d.soon.Remove(n)
	default:
		return false
	}
	d.n--
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

// earliest takes out the earliest node if it is due; else it says how long to sleep. Of more nodes than a few that are due in the
// same second, another than the earliest may be taken for it.
func (d *Deferrals) earliest() (*Node, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.approach(now)
	switch {
	case d.soon.Len() == 0 && d.n == 0:
		return nil, maxSleep
	case d.soon.Len() == 0:
		return nil, min(d.later.first().Sub(now), maxSleep)
	}
	if wait := d.soon.First().Due().Sub(now); wait > 0 {
		return nil, min(wait, maxSleep)
	}
	d.n--
	return d.soon.Shift(), 0
}

// approach moves nodes whose second has come into the heap. The mutex is held.
func (d *Deferrals) approach(now time.Time) {
	for d.soon.Len() < mostAtOnce {
		n := d.later.oldest(now.Add(time.Second))
		if n == nil {
			return
		}
		d.later.drop(n)
		d.soon.Insert(n)
	}
}

// Len is how many nodes wait.
func (d *Deferrals) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
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
