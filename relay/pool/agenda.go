package pool

import (
	"container/heap"
	"sync"
	"time"
)

// mostAtOnce bounds the sites that one tick looks after, so that a moment in which very many are due, like the end of an
// outage, is spread over some ticks.
const mostAtOnce = 5000

// agenda says which site must be looked after next, by time. With it a tick costs as much as there is to do, however many
// sites are known: a list has a million domains, and most of them wait for nothing.
type agenda struct {
	mu    sync.Mutex // behind a site's
	sites siteHeap
}

// plan sees to it that s is looked after at the given time, or before if that was planned.
func (g *agenda) plan(s *Site, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case s.place < 0:
		s.due = at
		heap.Push(&g.sites, s)
	case at.Before(s.due):
		s.due = at
		heap.Fix(&g.sites, s.place)
	}
}

// dueAt takes out the sites that are due at now, the longest due first.
func (g *agenda) dueAt(now time.Time) []*Site {
	g.mu.Lock()
	defer g.mu.Unlock()
	var due []*Site
	for len(g.sites) > 0 && len(due) < mostAtOnce && !g.sites[0].due.After(now) {
		due = append(due, heap.Pop(&g.sites).(*Site))
	}
	return due
}

// siteHeap implements heap.Interface, the earliest first. The mutex of its agenda guards due and place of each site.
type siteHeap []*Site

// Len implements heap.Interface.
func (h siteHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h siteHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

// Swap implements heap.Interface.
func (h siteHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *siteHeap) Push(x any) {
	s := x.(*Site)
	s.place = len(*h)
	*h = append(*h, s)
}

// Pop implements heap.Interface.
func (h *siteHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.place = -1
	return s
}
