package pool

import (
	"math"
	"time"
)

// Learned is what a restart must know of a Pace, and what must be kept of one that is forgotten. Times are Unix seconds; 0: not
// learned.
type Learned struct {
	At      int64   `json:"at"`                // when this was true
	Window  int     `json:"window,omitempty"`  // agents at work
	Ceiling int     `json:"ceiling,omitempty"` // connections that the site allows
	Vain    int     `json:"vain,omitempty"`    // tries of one more in a row that were refused
	Capped  int64   `json:"capped,omitempty"`  // when the last was
	Rate    float64 `json:"rate,omitempty"`    // messages a second after the last cut
	Peak    float64 `json:"peak,omitempty"`    // messages a second before it
	Grown   int64   `json:"grown,omitempty"`   // seconds since the cut in which the rate limited
	Slowed  int64   `json:"slowed,omitempty"`  // when the rate was last of use
	Words   string  `json:"words,omitempty"`   // the last request to slow down
	Heard   int64   `json:"heard,omitempty"`   // when

	RuleWindow int     `json:"rule_window,omitempty"` // what a rule about replies demands
	RuleRate   float64 `json:"rule_rate,omitempty"`
	RuleUntil  int64   `json:"rule_until,omitempty"`
	RuleWhy    string  `json:"rule_why,omitempty"`
	Suspended  int64   `json:"suspended,omitempty"` // until then, by such a rule
	Suspension string  `json:"suspension,omitempty"`
}

// Learned is what a restart must know; false: nothing was learned.
func (p *Pace) Learned(now time.Time) (Learned, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := Learned{At: now.Unix()}
	rule := p.ruled(now)
	if rule.window > 0 || rule.rate > 0 {
		l.RuleWindow, l.RuleRate, l.RuleUntil, l.RuleWhy = rule.window, rule.rate, unixAt(now, rule.until), rule.why
	}
	if !rule.suspended.IsZero() {
		l.Suspended, l.Suspension = unixAt(now, rule.suspended), rule.suspension
	}
	if c := p.course; c != nil {
		l.Window = max(1, int(c.w))
		if n := c.ceiling.n; n > 0 && now.Sub(c.ceiling.at) < learnedOn {
			l.Ceiling, l.Vain, l.Capped = n, c.ceiling.vain, unixAt(now, c.ceiling.at)
		}
		if c.rate.set() && !c.rate.stale(now) {
			l.Rate, l.Peak, l.Grown, l.Slowed = c.rate.start, c.rate.peak, int64(c.rate.grown/time.Second), unixAt(now, c.rate.used)
		}
		if c.words != "" && now.Sub(c.heard) < learnedOn {
			l.Words, l.Heard = c.words, unixAt(now, c.heard)
		}
	}
	return l, l.Window > firstWindow || l.Ceiling > 0 || l.Rate > 0 || l.RuleUntil > 0 || l.Suspended > 0
}

// unixAt is t in Unix seconds as the clock shows them now, rounded up: t was taken by the monotonic clock, and the other may have
// been set since.
func unixAt(now, t time.Time) int64 {
	return now.Unix() + int64(math.Ceil(t.Sub(now).Seconds()))
}

// Recall takes back what was learned before a restart. What is older than a day is forgotten. The window shrinks by its age
// toward that of a new site. The site must prove itself first.
func (p *Pace) Recall(now time.Time, l Learned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ago := func(unix int64) time.Time {
		return now.Add(-min(max(0, seconds(float64(now.Unix()-unix))), 10*learnedOn))
	}
	fresh := func(unix int64) bool { return unix > 0 && now.Unix()-unix < int64(learnedOn/time.Second) }
	p.recallRule(now, l)
	if !fresh(l.At) || l.Window < 1 {
		return
	}
	p.told = true
	c := p.steer(now)
	age := float64(now.Sub(ago(l.At))) / float64(learnedOn)
	c.w = max(1, firstWindow+(float64(l.Window)-firstWindow)*(1-age))
	c.climbing = l.Ceiling == 0 && l.Rate == 0
	if l.Ceiling > 0 && fresh(l.Capped) {
		c.ceiling = ceiling{vain: clamp(l.Vain, 0, mostVain) - 1, last: l.Ceiling}
		c.ceiling.refused(ago(l.Capped), l.Ceiling, l.Ceiling)
	}
	if l.Rate > 0 && l.Peak >= l.Rate && fresh(l.Slowed) {
		at := ago(l.Slowed)
		c.rate = throttle{start: clamp(l.Rate, lowest, highest), peak: clamp(l.Peak, lowest, highest), grown: seconds(float64(max(0, l.Grown))), at: at, used: at, seen: at}
	}
	if fresh(l.Heard) {
		c.words, c.heard = l.Words, ago(l.Heard)
	}
}

// recallRule takes back what a rule about replies demanded.
func (p *Pace) recallRule(now time.Time, l Learned) {
	until := func(unix int64) time.Time { return now.Add(clamp(seconds(float64(unix-now.Unix())), 0, 10*learnedOn)) }
	r := ruling{}
	if l.RuleUntil > now.Unix() && (l.RuleWindow > 0 || l.RuleRate > 0) {
		r.window, r.rate, r.until, r.why = max(0, l.RuleWindow), max(0, l.RuleRate), until(l.RuleUntil), l.RuleWhy
	}
	if l.Suspended > now.Unix() {
		r.suspended, r.suspension = until(l.Suspended), l.Suspension
	}
	if r != (ruling{}) {
		p.rule = &r
	}
}

// View is a Pace as the admin sees it.
type View struct {
	Window      int     `json:"window"`                 // agents that may be at work; 0: closed
	WindowBy    string  `json:"window_by"`              // who set it: "default", "learned", "rule", "reply"
	Ceiling     int     `json:"ceiling,omitempty"`      // connections that the site allows, as it has shown by refusing one
	Rate        float64 `json:"rate,omitempty"`         // messages a second; 0: no limit
	RateBy      string  `json:"rate_by,omitempty"`      // who set it
	Goodput     float64 `json:"goodput"`                // messages a second that the site took in the last minute
	Latency     float64 `json:"latency,omitempty"`      // seconds from the end of a body to its reply
	Learned     int64   `json:"learned,omitempty"`      // Unix seconds: since when it is learned
	Throttled   string  `json:"throttled,omitempty"`    // the words of the last request to slow down
	ThrottledAt int64   `json:"throttled_at,omitempty"` // Unix seconds
}

// View is the state at now.
func (p *Pace) View(now time.Time) View {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := View{Window: p.window(now), WindowBy: p.windowBy(now)}
	v.Rate, v.RateBy = p.allowed(now)
	c := p.course
	if c == nil {
		return v
	}
	v.Ceiling, v.Latency = c.ceiling.n, c.latency.fast
	v.Goodput = c.flow.lately(now)
	v.Learned = unixAt(now, c.began)
	if c.words != "" {
		v.Throttled, v.ThrottledAt = c.words, unixAt(now, c.heard)
	}
	return v
}

// windowBy is who sets the window. The mutex is held.
func (p *Pace) windowBy(now time.Time) string {
	rule, free, most := p.ruled(now), p.free(now), p.most()
	switch {
	case !rule.suspended.IsZero() || p.proven && rule.window > 0 && rule.window <= free:
		return byReply
	case p.told && (!p.proven || free < most):
		return byLearning
	case most != p.cfg.Load().ConnectionsPerSite:
		return byRule
	}
	return byDefault
}
