package pool

import (
	"math"
	"time"
)

// course is what a site has taught about its pace. The window w is a number of agents; its fraction is kept from one cut to
// the next.
type course struct {
	began    time.Time
	w        float64
	climbing bool      // slow start: the window doubles
	cut      time.Time // a request to slow down in reply to a transaction that began before is about what was already mended
	hold     time.Time // the window does not grow until then: one agent more brought nothing
	ceiling  ceiling
	rate     throttle
	flow     flow
	step     step
	latency  latency
	plunges  int       // of the rate, since a message was last taken
	done     time.Time // when a message was last done
	words    string    // the last request to slow down
	heard    time.Time // when
}

const (
	firstWindow = 2                // of a site that has just proven itself
	holdFor     = 60 * time.Second // before a connection that added nothing is tried again
	maxPlunges  = 2                // and then the site is closed
	justNow     = 10 * time.Second // a site that did a message so long ago works
)

// steer returns the course, which it begins if there is none. The mutex is held.
func (p *Pace) steer(now time.Time) *course {
	if p.course == nil {
		p.course = &course{}
		p.course.restart(now)
	}
	return p.course
}

// restart begins the slow start. What is known of the site's limits stays.
func (c *course) restart(now time.Time) {
	c.began, c.w, c.climbing, c.hold = now, firstWindow, true, time.Time{}
	c.step = step{began: now}
	c.flow.mark(now)
	c.ceiling.restart(now)
}

// Window is how many agents may be at work now; 0: none, the site is closed.
func (p *Pace) Window(now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.window(now)
}

func (p *Pace) window(now time.Time) int {
	rule := p.ruled(now)
	switch {
	case !rule.suspended.IsZero() || now.Before(p.until):
		return 0
	case !p.proven:
		return 1 // new, or closed until a moment ago: one agent finds out, so that a dead site costs one connection at a time
	case rule.window > 0:
		return min(rule.window, p.free(now))
	}
	return p.free(now)
}

// free is the window without rules about replies. The mutex is held.
func (p *Pace) free(now time.Time) int {
	switch most := p.most(); {
	case !p.told:
		return most
	case p.course == nil:
		return min(firstWindow, most)
	default:
		return max(1, min(int(p.course.w), p.course.ceiling.allows(now, most)))
	}
}

// Done notes that a transaction which began at began was answered well, or for reasons that say nothing about pace, such as
// an unknown user. busy is how many agents are at work now. dot is how long the reply to the body took; 0: not known. Done
// includes Answered.
func (p *Pace) Done(now, began time.Time, busy int, dot time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = true
	p.answered()
	if p.course == nil && busy < firstWindow {
		return
	}
	c := p.steer(now)
	c.plunges, c.done = 0, now
	c.flow.count(now)
	c.latency.note(now, dot)
	c.w = math.Max(c.w, float64(c.ceiling.worked(busy)))
	c.climbing = c.climbing || c.ceiling.rises(int(c.w))
	most := p.most()
	if r := p.ruled(now); r.window > 0 {
		most = min(most, r.window)
	}
	if now.Before(p.waited) {
		busy = 0 // the rate limits, and says nothing about the window
	} else if c.rate.set() && full(busy, int(c.w)) {
		c.rate.idle(now)
	}
	c.grow(now, busy, c.ceiling.allows(now, most))
}

// full reports whether enough agents of the window are at work to tell what the window is good for.
func full(busy, window int) bool {
	return 5*busy >= 4*window || window > 2 && busy == window-1 // one of few is between two connections
}

// grow makes the window larger when the step is over in which its present size was measured, every agent was busy and the last
// growth was of use.
func (c *course) grow(now time.Time, busy, most int) {
	w := min(int(c.w), most)
	if !full(busy, w) {
		c.step.short(now)
		return
	}
	if !c.step.note(now) {
		return
	}
	next := w
	switch verdict := c.step.judge(now, w, c.climbing); {
	case verdict == measuring:
		return
	case verdict == useless:
		c.w, c.climbing, c.hold = float64(c.step.before), false, now.Add(holdFor)
	case w >= most || now.Before(c.hold) || c.latency.rising():
	case c.climbing:
		next = min(2*w, most)
	default:
		next = min(w+max(1, w/8), most)
	}
	c.step.again(now)
	if next > w {
		c.w, c.step.skip = math.Max(c.w, float64(next)), w
	}
}

// Slowed notes that a transaction which began at began was refused with words that ask us to slow down
// (smtp.Verdict.SlowDown). busy is how many agents are at work now. Call it in place of Trouble: a site that refuses
// everything in this way is closed too.
func (p *Pace) Slowed(now, began time.Time, busy int, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles++
	if !p.proven {
		if p.troubles >= maxTroubles {
			p.failed(now, why)
		}
		return
	}
	c := p.steer(now)
	c.words, c.heard = why, now
	if c.plunges > 0 && began.Before(c.cut) {
		p.troubles--
	}
	switch {
	case c.plunges == 0 && p.troubles < max(maxTroubles, 2*p.window(now)) || p.troubles < maxTroubles:
	case c.plunges == maxPlunges:
		p.failed(now, why)
		return
	default: // nothing is taken: a few more questions, ever slower, tell whether for now or for a while
		c.plunges++
		c.rate.plunge(now, &c.flow)
		c.cut, p.troubles = now, 0
		return
	}
	if began.Before(c.cut) || !c.rate.ready(now) {
		return
	}
	c.rate.cut(now, &c.flow)
	p.spacing.spend(now, c.rate.now(), burstOf(c.rate.now()))
	c.slow(now, busy, now.Before(p.waited))
}

// slow cuts the window, once for all transactions under way. When the rate was what limited, the window stays large enough for
// the agents at work: they are what the rate needs.
func (c *course) slow(now time.Time, busy int, limits bool) {
	w := 0.7 * c.w
	if limits {
		w = math.Max(w, math.Min(c.w, float64(busy+1)))
	} else {
		c.ceiling.approach(now, int(c.w)-1)
	}
	c.w, c.cut, c.climbing = math.Max(1, w), now, false
	c.flow.mark(now)
	c.step = step{began: now}
}

// TurnedAway notes that a new connection was refused while open others of ours were open or being made: the site has a limit of
// connections. open 0: nothing works here, and the site is closed as by Failed.
func (p *Pace) TurnedAway(now time.Time, open int, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open <= 0 {
		p.refused(now, why)
		return
	}
	p.told = true
	c := p.steer(now)
	c.words, c.heard = why, now
	c.w, c.climbing = float64(c.ceiling.refused(now, open, int(c.w))), false
	c.step = step{began: now}
}

// refused notes that the only connection was refused. Where a message was done seconds ago, the connections that we have just
// ended may still count at the receiver: then the door is closed for seconds, the first time.
func (p *Pace) refused(now time.Time, why string) {
	if p.course == nil || now.Sub(p.course.done) > justNow || now.Before(p.until) {
		p.failed(now, why)
		return
	}
	p.course.done = time.Time{}
	p.until, p.reason, p.proven = now.Add(dipFor), why, false
	p.shut.set(byFailure, true)
	p.course.restart(now)
}

// Connected notes that a new connection was made and greeted.
func (p *Pace) Connected(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.course != nil {
		p.course.ceiling.connected()
	}
}
