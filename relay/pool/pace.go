package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
)

// Pace says how many agents may work at a site: one until the site has answered, then a fixed window, none while the site
// is closed, and one that probes when the site may be open again. Everything else that a site teaches us about its limits
// belongs here too.
//
// Agents tell the Pace what happened (Answered, Trouble, Failed), and the site asks it before it starts an agent (Window).
// The Pace starts nothing itself and has no goroutine: Site.tend looks at the clock.
type Pace struct {
	kind relay.ReasonKind // of Closed
	who  string           // whom Closed is about: the site, or the domain that DNS could not find
	cfg  *atomic.Pointer[Config]

	mu       sync.Mutex
	limits   Limits
	proven   bool      // the site has done its work since it was last closed
	failures int       // in a row, each of which closed the site
	troubles int       // transactions in a row that the site turned away as a whole
	until    time.Time // closed until then
	reason   string
}

func newPace(cfg *atomic.Pointer[Config], kind relay.ReasonKind, who string) Pace {
	return Pace{kind: kind, who: who, cfg: cfg}
}

// Window is how many agents may be at work now.
func (p *Pace) Window(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.proven:
		return p.most()
	case now.Before(p.until):
		return 0
	}
	return 1 // new, or closed until a moment ago: one agent finds out, so that a dead site costs one connection at a time
}

// Proven reports whether the site has done its work since it was last closed. Until then the site is on probation, because
// a site that may be dead must not take up the channels of sites that work.
func (p *Pace) Proven() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proven
}

// Closed is why the site is closed, and until when. The zero Reason says that it is open. A site whose time is over stays
// closed in this sense until an agent has found it open: the reason is still why its mail waits.
func (p *Pace) Closed() relay.Reason {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures == 0 {
		return relay.Reason{}
	}
	return relay.WaitFor(p.kind, p.who, p.reason, p.until)
}

// Answered notes that the site does its work.
func (p *Pace) Answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.troubles, p.reason, p.proven = 0, 0, "", true
	p.until = time.Time{} // Failed ignores failures while the site is closed; from here on a failure counts again
}

// maxTroubles transactions in a row that the site turned away as a whole ("421", a lost connection) close it. A single one
// may be about the message, a busy moment, or one host behind a load balancer.
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

// Forgettable reports that the Pace has learned nothing that would be missed at now. A closed site is remembered for a while
// beyond its time, because the next failure must close it for longer.
func (p *Pace) Forgettable(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failures == 0 || now.After(p.until.Add(forgetAfter))
}

// Failed notes that the site could not be reached, and closes it, for longer each time in a row. Failures while the site is
// closed already come from agents that began earlier: together they count once.
func (p *Pace) Failed(now time.Time, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.until) {
		return
	}
	p.until = now.Add(p.closedFor(p.failures))
	p.failures++
	p.reason, p.proven = reason, false
}

// closedFor is how long a site is left alone that failed after so many failures in a row.
func (p *Pace) closedFor(failures int) time.Duration {
	waits := p.cfg.Load().ClosedFor
	return waits[min(failures, len(waits)-1)]
}

// shorten opens a closed site sooner if closed_for has become shorter.
func (p *Pace) shorten(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures == 0 {
		return
	}
	if until := now.Add(p.closedFor(p.failures - 1)); until.Before(p.until) {
		p.until = until
	}
}
