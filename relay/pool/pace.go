package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
)

// Pace says how fast one site may be fed from one source address: how many agents may be at work (Window), and when the next
// message may go out (Ask). It learns both from what agents tell: Done, Slowed, TurnedAway, Connected, Trouble, Failed. The
// Pace starts nothing itself, asks no clock and has no goroutine.
//
// The first limit is the reply: the next body goes out when the last one was answered. Over it stand
//
//   - the window (window.go). It grows while every agent is busy and each further one brings more messages a second
//     (goodput.go), and shrinks when the site asks us to slow down.
//   - the ceiling (ceiling.go): the connections that the site allows, once it has refused one while others worked.
//   - the rate (rate.go): messages a second, once the site has asked us to slow down, or a rule sets one.
//   - the breaker: a site that cannot be reached, or that refuses everything, is closed for a while. Then one agent finds
//     out whether it is open, and the window grows again from two.
type Pace struct {
	kind relay.ReasonKind // of Closed
	who  string           // whom Closed is about: the site, or the domain that DNS could not find
	cfg  *atomic.Pointer[Config]
	shut shutter

	mu       sync.Mutex
	limits   Limits
	proven   bool      // the site has done its work since it was last closed
	failures int       // in a row, each of which closed the site
	troubles int       // transactions in a row that the site turned away as a whole, or refused with a request to slow down
	until    time.Time // closed until then
	reason   string
	failedAt time.Time // when it was closed last

	told    bool // Done was called: before, nobody counts agents, and the window is what the configuration allows
	spacing spacing
	waited  time.Time // until then the rate counts as what limits, because Ask made somebody wait
	rule    *ruling   // nil: no rule about replies is in force
	course  *course   // nil until there is more to know than that the site works: most sites get a message or two
}

func newPace(cfg *atomic.Pointer[Config], kind relay.ReasonKind, who string) Pace {
	return Pace{kind: kind, who: who, cfg: cfg}
}

// Limits is the most that configuration and rules allow at one site from one source address.
type Limits struct {
	Connections int     // agents at work at the same time; 0: connections_per_site
	Rate        float64 // messages a second; 0: no limit
}

// Limit replaces the most that configuration allows. It holds from the next question on.
func (p *Pace) Limit(l Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limits = l
}

// most is the configured limit of connections. The mutex is held.
func (p *Pace) most() int {
	if n := p.limits.Connections; n > 0 {
		return n
	}
	return p.cfg.Load().ConnectionsPerSite
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
	switch {
	case p.rule != nil && !p.rule.suspended.IsZero():
		return relay.WaitFor(p.kind, p.who, p.rule.suspension, p.rule.suspended)
	case p.failures == 0 && p.until.IsZero():
		return relay.Reason{}
	}
	return relay.WaitFor(p.kind, p.who, p.reason, p.until)
}

// suspended reports whether a rule about replies keeps the site closed.
func (p *Pace) suspended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rule != nil && !p.rule.suspended.IsZero()
}

// Answered notes that the site does its work. Done includes it.
func (p *Pace) Answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered()
}

func (p *Pace) answered() {
	p.failures, p.troubles, p.reason, p.proven = 0, 0, "", true
	p.until = time.Time{} // Failed ignores failures while the site is closed; from here on a failure counts again
	p.shut.set(byFailure, false)
}

// maxTroubles transactions in a row that the site turned away as a whole ("421", a lost connection) close it. A single one
// may be about the message, a busy moment, or one host behind a load balancer.
const maxTroubles = 5

// Trouble notes that a transaction brought no word about any recipient. A request to slow down is Slowed instead.
func (p *Pace) Trouble(now time.Time, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles++
	if p.troubles >= maxTroubles {
		p.failed(now, reason)
	}
}

// Forgettable reports that nothing would be missed at now that Learned does not tell. A closed site is remembered for a
// while beyond its time, because the next failure must close it for longer.
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
	p.failed(now, reason)
}

func (p *Pace) failed(now time.Time, reason string) {
	if now.Before(p.until) {
		return
	}
	p.until, p.failedAt = now.Add(p.closedFor(p.failures)), now
	p.failures++
	p.reason, p.proven = reason, false
	p.shut.set(byFailure, true)
	if p.course != nil {
		p.course.restart(now)
	}
}

// FailedAt is when the site was last tried in vain and closed; the zero time: never.
func (p *Pace) FailedAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failedAt
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

// Override is what a rule about replies ([[reply]]) demands. A zero field demands nothing.
type Override struct {
	Window  int           // the most agents at work
	Rate    float64       // the most messages a second
	Suspend bool          // nothing at all
	For     time.Duration // how long; 0: ten minutes
	Why     string        // the rule and the reply, for status
}

// ruling is what rules about replies have set. A rule that sets the same thing later replaces it.
type ruling struct {
	window     int
	rate       float64
	until      time.Time // of window and rate
	why        string
	suspended  time.Time // until then; zero: not suspended
	suspension string    // why
}

// ruledFor is how long a rule is in force that does not say.
const ruledFor = 10 * time.Minute

// Override does what a rule about replies demands.
func (p *Pace) Override(now time.Time, o Override) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rule == nil {
		p.rule = &ruling{}
	}
	if o.For <= 0 {
		o.For = ruledFor
	}
	r, end := p.rule, now.Add(o.For)
	if o.Suspend {
		r.suspended, r.suspension = end, "a rule suspends the site: "+o.Why
	}
	if !r.until.After(now) {
		r.window, r.rate = 0, 0
	}
	if o.Window > 0 {
		r.window, r.until, r.why = o.Window, end, o.Why
	}
	if o.Rate > 0 {
		r.rate, r.until, r.why = o.Rate, end, o.Why
	}
}

// ruled is what rules about replies demand at now; the zero ruling when there is none. The mutex is held.
func (p *Pace) ruled(now time.Time) ruling {
	if p.rule == nil {
		return ruling{}
	}
	if !p.rule.suspended.After(now) {
		p.rule.suspended = time.Time{}
	}
	if p.rule.until.After(now) {
		return *p.rule
	}
	r := ruling{suspended: p.rule.suspended, suspension: p.rule.suspension}
	if r.suspended.IsZero() {
		p.rule = nil
	}
	return r
}
