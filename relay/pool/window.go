package pool

import (
	"time"
)

// Limits is the most that configuration and rules allow at one site from one source address.
type Limits struct {
	Connections int     // agents at work at the same time; 0: connections_per_site
	Rate        float64 // messages a second; 0: no limit
}

// Override is what a rule about replies ([[reply]]) demands. A zero field demands nothing.
type Override struct {
	Window  int           // the most agents at work
	Rate    float64       // the most messages a second
	Suspend bool          // nothing at all
	For     time.Duration // how long; 0: suspend nothing, and keep window and rate for ten minutes
	Why     string        // the reply, for status
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

// Done notes that a transaction which began at began was answered well, or for reasons that say nothing about pace, such as
// an unknown user. busy is how many agents are at work now. dot is how long the reply to the body took; 0: not known. Done
// includes Answered.
func (p *Pace) Done(now, began time.Time, busy int, dot time.Duration) { p.Answered() }

// Slowed notes that a transaction which began at began was refused with words that ask us to slow down
// (smtp.Verdict.SlowDown). Call it in place of Trouble: a site that refuses everything in this way is closed too.
func (p *Pace) Slowed(now, began time.Time, busy int, why string) { p.Trouble(now, why) }

// TurnedAway notes that a new connection was refused with such words while open others of ours were open and at work: the
// site has a limit of connections. open 0: nothing works here, and the site is closed as by Failed.
func (p *Pace) TurnedAway(now time.Time, open int, why string) {
	if open == 0 {
		p.Failed(now, why)
	}
}

// Connected notes that a new connection was made and greeted.
func (p *Pace) Connected(now time.Time) {}

// Override does what a rule about replies demands.
func (p *Pace) Override(now time.Time, o Override) {}
