package snapshot

import (
	"math"
	"time"
)

// bell calls the writer goroutine: at once when somebody waits for a commit, within the commit interval when something is
// to be recorded and nobody waits. It is how the lower parts reach the writer without knowing it.
type bell struct {
	now      chan struct{} // holds one call; more calls before the writer comes are the same call
	late     *time.Timer   // runs while something waits for its commit and nobody waits for that
	interval time.Duration

	armed  bool // late runs; guarded by ledger.mu
	gather gather
	alarm  alarm // ends the writer's wait for more askers
}

// newBell returns a bell whose late timer does not run: a timer cannot be made without being started.
func newBell(interval time.Duration, a alarm) *bell {
	return &bell{now: make(chan struct{}, 1), late: time.NewTimer(math.MaxInt64), interval: interval, alarm: a}
}

// ask calls the writer for those who wait for the commit in the making. The writer comes at once, or when others have asked too:
// see gather. It reports whether the caller must now end the writer's wait, by the alarm: that is a system call, and ask may be called under a
// lock.
func (l *bell) ask(c crowd) (enough bool) {
	enough = l.gather.ask(c)
	l.ring()
	return enough
}

// ring calls the writer at once. It never blocks, and needs no lock.
func (l *bell) ring() {
	select {
	case l.now <- struct{}{}:
	default:
	}
}

// ringLater calls the writer within the interval. ledger.mu is held. The first call starts the clock, and later calls do
// not move it: otherwise a steady stream of outcomes would never be committed.
func (l *bell) ringLater() {
	if !l.armed {
		l.armed = true
		l.late.Reset(l.interval)
	}
}

// ringAgain calls the writer within the interval, whatever call is under way. ledger.mu is held.
func (l *bell) ringAgain() {
	l.armed = false
	l.ringLater()
}

// heeded notes that the writer has come. ledger.mu is held. Whoever asked while the writer waited has left a call behind, which
// would have the writer commit again what has hardly begun to gather. A late call under way costs an empty commit, which is not
// written.
func (l *bell) heeded() {
	l.armed = false
	l.gather.sealed()
	select {
	case <-l.now:
	default:
	}
}
