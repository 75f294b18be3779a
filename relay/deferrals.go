package relay

import (
	"container/heap"
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
	heap nodeHeap
}

// NewDeferrals returns a Deferrals without nodes.
func NewDeferrals() *Deferrals {
	return &Deferrals{wake: make(chan struct{}, 1)}
}

// Defer makes n wait until n.Due.
func (d *Deferrals) Defer(n *Node) {
	d.mu.Lock()
	heap.Push(&d.heap, n)
	first := n.heapIndex == 0
	d.mu.Unlock()
	if first {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
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
	if len(d.heap) == 0 {
		return nil, maxSleep
	}
	if wait := time.Until(d.heap[0].Due); wait > 0 {
		return nil, min(wait, maxSleep)
	}
	return heap.Pop(&d.heap).(*Node), 0
}

// Len is how many nodes wait.
func (d *Deferrals) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.heap)
}

// nodeHeap implements heap.Interface, earliest Due first.
type nodeHeap []*Node

// Len implements heap.Interface.
func (h nodeHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h nodeHeap) Less(i, j int) bool { return h[i].Due.Before(h[j].Due) }

// Swap implements heap.Interface.
func (h nodeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (h *nodeHeap) Push(x any) {
	n := x.(*Node)
	n.heapIndex = len(*h)
	*h = append(*h, n)
}

// Pop implements heap.Interface.
func (h *nodeHeap) Pop() any {
	old := *h
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	n.heapIndex = -1
	return n
}
