package pool

import (
	"sync"
	"time"
)

// Pace says how many connections a site is given: one until it has answered, then a fixed window, none while it is
// closed, and one that probes when it may be open again. What the site teaches beyond that belongs here too.
type Pace struct {
	window    int
	closedFor []time.Duration

	mu       sync.Mutex
	proven   bool      // the site has done its work since it was last closed
	failures int       // in a row, each of which closed the site
	troubles int       // transactions in a row that the site turned away as a whole
	until    time.Time // closed until then
	reason   string
}

func newPace(cfg Config) Pace {
	return Pace{window: cfg.ConnectionsPerSite, closedFor: cfg.ClosedFor}
}

// Window is how many channels may be at work now.
func (p *Pace) Window(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.proven:
		return p.window
	case now.Before(p.until):
		return 0
	}
	return 1 // new, or half open: one channel finds out
}

// Proven reports whether the site has done its work since it was last closed. Until then it is on probation: it must
// not take up the channels of sites that work.
func (p *Pace) Proven() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proven
}

// Closed tells why the site is closed, and until when; "" when it is open.
func (p *Pace) Closed() (string, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures == 0 {
		return "", time.Time{}
	}
	return p.reason, p.until
}

// Answered notes that the site does its work.
func (p *Pace) Answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.troubles, p.reason, p.proven = 0, 0, "", true
	p.until = time.Time{} // a failure from here on counts
}

// maxTroubles transactions in a row turned away as a whole ("421", a lost connection) close a site.
const maxTroubles = 5

// Trouble notes that a transaction brought no word about any recipient.
func (p *Pace) Trouble(now time.Time, reason string) {
	p.mu.Lock()
	p.troubles++
	closes := p.troubles >= maxTroubles
	p.mu.Unlock()
	if closes {
		p.Failed(now, reason)
	}
}

// Forgettable reports that nothing has been learned that would be missed at now.
func (p *Pace) Forgettable(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failures == 0 || now.After(p.until.Add(forgetAfter))
}

// Failed notes that the site could not be reached; it is closed, for longer each time.
// Failures while it is closed already come from agents that began before: they count once.
func (p *Pace) Failed(now time.Time, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.until) {
		return
	}
	p.until = now.Add(p.closedFor[min(p.failures, len(p.closedFor)-1)])
	p.failures++
	p.reason, p.proven = reason, false
}
