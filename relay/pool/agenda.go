package pool

import (
	"sync"
	"time"

	"github.com/millrace/millrace/relay"
)

// mostAtOnce bounds the sites that one tick looks after, so that a moment in which very many are due, like the end of an
// outage, is spread over some ticks.
const mostAtOnce = 5000

// restFor is how long nothing is looked after for each site that was: at most 20,000 sites a second, of a million that may all wait
// for the same signal.
const restFor = tick / mostAtOnce

// agenda says which site must be looked after next, by time. With it a tick costs as much as there is to do, however many
// sites are known: a list has a million domains, and most of them wait for nothing.
type agenda struct {
	mu     sync.Mutex         // behind a site's; it guards due and place of each site
	sites  *relay.Heap[*Site] // the earliest due first
	rested time.Time          // nothing is looked after before
	sooner chan struct{}      // holds a signal when the first site became due earlier
}

func newAgenda() agenda {
	return agenda{sooner: make(chan struct{}, 1), sites: relay.NewHeap(func(a, b *Site) bool { return a.due.Before(b.due) }, func(s *Site) *int32 { return &s.place })}
}

// plan sees to it that s is looked after at the given time, or before if that was planned.
func (g *agenda) plan(s *Site, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case s.place < 0:
		s.due = at
		g.sites.Insert(s)
	case at.Before(s.due):
		s.due = at
		g.sites.Moved(s)
	}
	if s.place == 0 {
		select {
		case g.sooner <- struct{}{}:
		default:
		}
	}
}

// wait is how long there is nothing to do at now. It is bounded on both sides: a clock that is corrected is noticed, and many sites
// that are due one after the other are looked after together.
func (g *agenda) wait(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sites.Len() == 0 {
		return tick
	}
	return min(max(g.sites.First().due.Sub(now), g.rested.Sub(now), leastTick), tick)
}

// dueAt takes out the sites that are due at now, the longest due first.
func (g *agenda) dueAt(now time.Time) []*Site {
	g.mu.Lock()
	defer g.mu.Unlock()
	var due []*Site
	for g.sites.Len() > 0 && len(due) < mostAtOnce && !g.sites.First().due.After(now) {
		due = append(due, g.sites.Shift())
	}
	g.rested = now.Add(time.Duration(len(due)) * restFor)
	return due
}
