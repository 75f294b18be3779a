package snapshot

import (
	"sync"
	"time"
)

const (
	// maxGather is the longest that a commit waits for more askers, however slow the disk is.
	maxGather = 3 * time.Millisecond
	// minGather is the shortest wait that is worth its alarm. A disk that syncs faster gathers nobody.
	minGather = 100 * time.Microsecond
	// gatherBytes is so much that a commit with it does not wait: from there on the write counts, and not the sync alone.
	gatherBytes = 64 << 10
	// aloneAfter is how long nobody has asked before an asker who counts as alone.
	aloneAfter = 10 * time.Millisecond
	// recent is about how many samples a mean is of.
	recent = 8
)

// gather says how long the writer waits for more askers before it commits, because a sync costs the same for one of them as for
// many. An asker is a take, or a visit that may not go on before its mark is on record.
//
// The wait pays only when somebody comes in it. So it is no longer than a sync takes, which is what it may save, and there is none
// unless askers came at that rate lately. It ends when as many have asked as waited at the last sync: a door that waits for its
// answer asks for nothing else, so hardly anybody is left who could come. Who is alone does not wait.
//
// It has a lock of its own, a leaf, because a visit asks without the ledger's.
type gather struct {
	mu   sync.Mutex
	last time.Time     // when somebody asked
	gap  time.Duration // mean time between two askers
	sync time.Duration // mean time of a sync, at most maxGather

	asked crowd // for the commit in the making
	told  crowd // wait for the commit under way
	due   crowd // waited at the last sync: for it, or already for the next
	full  bool  // the commit in the making is large enough to go
	open  bool  // the writer waits
}

// crowd is a number of askers.
type crowd struct{ takes, visits int }

// ask notes that somebody waits for the commit in the making. It reports whether the writer waits for nobody else any more.
func (g *gather) ask(c crowd) (enough bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	since := now.Sub(g.last)
	g.last = now
	if g.gap = average(g.gap, since); since >= aloneAfter {
		g.gap = aloneAfter // what was before says nothing any more
	}
	g.asked.takes += c.takes
	g.asked.visits += c.visits
	return g.enough()
}

// fill notes that the commit in the making is large enough to go, and reports whether the writer waits.
func (g *gather) fill() (enough bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.full = true
	return g.enough()
}

// enough ends the wait when it has had its use, and reports that. The mutex is held.
func (g *gather) enough() bool {
	if !g.open || !g.complete() {
		return false
	}
	g.open = false
	return true
}

// complete reports whether there is nobody to wait for: of the doors one in eight may be late. When doors ask, they alone are waited
// for, because visits follow the answers to doors. The mutex is held.
func (g *gather) complete() bool {
	switch {
	case g.full:
		return true
	case g.due.takes+g.asked.takes > 0:
		return g.asked.takes >= g.due.takes-g.due.takes/8
	}
	return g.asked.visits >= g.due.visits-g.due.visits/8
}

// wait is how long the writer must wait before it commits; 0: not at all.
func (g *gather) wait() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked == (crowd{}) || g.complete() || g.sync < minGather || g.gap > g.sync {
		return 0
	}
	g.open = true
	return g.sync
}

// sealed notes that the commit in the making is under way: who asks from now on asks for the next one.
func (g *gather) sealed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told, g.asked, g.full, g.open = g.asked, crowd{}, false, false
}

// synced notes how long a sync took, before anybody is told of it.
func (g *gather) synced(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sync = average(g.sync, min(took, maxGather))
	g.due = crowd{g.told.takes + g.asked.takes, g.told.visits + g.asked.visits}
}

// average is the mean of the recent samples, about.
func average(mean, sample time.Duration) time.Duration { return mean + (sample-mean)/recent }
