package pool

import (
	"math"
	"time"
)

// spacing lets messages out at a rate (GCRA, the generic cell rate algorithm of ITU-T I.371). It holds one time, at which
// everything let out until now would have gone out evenly.
type spacing struct {
	base time.Time     // times are counted from here, by the monotonic clock
	tat  time.Duration // theoretical arrival time
	step time.Duration // what the last message took
}

// next takes a message at now, with rate messages a second and burst of them at once. It returns 0, or how long there is none
// to take.
func (s *spacing) next(now time.Time, rate, burst float64) time.Duration {
	if s.base.IsZero() {
		s.base = now
	}
	t := now.Sub(s.base)
	step := time.Duration(math.Ceil(math.Min(1e9/rate, 1e15)))
	if early := s.tat - time.Duration((burst-1)*float64(step)) - t; early > 0 {
		return early
	}
	s.tat, s.step = max(s.tat, t)+step, step
	return 0
}

// spend uses up what may go out at once: a site that has just refused has nothing left of its own.
func (s *spacing) spend(now time.Time, rate, burst float64) {
	if s.base.IsZero() {
		s.base = now
	}
	s.tat = max(s.tat, now.Sub(s.base)+seconds(burst/rate))
}

// burstOf is how many messages a learned rate lets out at once.
func burstOf(rate float64) float64 { return math.Max(1, rate*burstTime.Seconds()) }

// Ask takes one message of the site's rate, for the visit that begins now. 0: the visit may begin. Anything else: nothing was
// taken, and the caller asks again after so long, which is ten seconds at most: what limits may change meanwhile.
func (p *Pace) Ask(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	rate, by := p.allowed(now)
	if rate == 0 {
		return 0
	}
	burst := 1.0
	if by == byLearning && p.limits.Rate == 0 && p.rule == nil {
		burst = burstOf(rate)
	}
	wait := p.spacing.next(now, rate, burst)
	if wait > 0 {
		p.waited = now.Add(wait + limitsFor)
	}
	if c := p.course; c != nil && c.rate.set() {
		c.rate.asked(now, by == byLearning && now.Before(p.waited))
	}
	return min(wait, askAgain)
}

// Unask gives the message back that Ask took: its visit never was.
func (p *Pace) Unask(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spacing.tat -= p.spacing.step
}

// who sets a limit, for status.
const (
	byDefault  = "default"
	byLearning = "learned"
	byRule     = "rule"
	byReply    = "reply"
)

// allowed is the rate that holds at now, and who set it; 0: there is no limit. The mutex is held.
func (p *Pace) allowed(now time.Time) (rate float64, by string) {
	lower := func(r float64, who string) {
		if r > 0 && (rate == 0 || r < rate) {
			rate, by = r, who
		}
	}
	lower(p.limits.Rate, byRule)
	lower(p.ruled(now).rate, byReply)
	if c := p.course; c != nil {
		if c.rate.stale(now) {
			c.rate = throttle{}
		}
		lower(c.rate.now(), byLearning)
	}
	return rate, by
}

const (
	burstTime = 250 * time.Millisecond // a learned rate lets as much out at once as goes out in this time
	askAgain  = 10 * time.Second
	limitsFor = 2 * time.Second  // so long behind its wait the rate counts as what limits
	plateau   = 30 * time.Second // back to the peak after a cut
	lowest    = 1.0 / 60         // of all rates learned
	highest   = 1e6
	longIdle  = 10 * time.Minute // without mail: the peak is old news, and growth goes on behind it
	freeFor   = 5 * time.Minute  // of full work that the rate did not limit, and it goes
	learnedOn = 24 * time.Hour   // and so long after it was last of use
)

// throttle is the rate that a site was found to take, once it has asked us to slow down. Its course is that of CUBIC
// (RFC 9438): after a cut it climbs back to the peak, which is what the site took, stays near it for a while, and then grows
// faster and faster. So a limit that is still there is touched about twice a minute, and one that is gone is left behind in
// minutes. The rate grows only in time in which it limits.
type throttle struct {
	start, peak float64       // messages a second after the last cut, and before it; 0: no rate
	grown       time.Duration // time since the cut in which the rate limited
	at          time.Time     // of the last cut
	used        time.Time     // when it last limited, or was cut
	seen        time.Time     // when it was last asked
	idled       time.Time     // since when it has not limited, with all agents at work; zero: it limits
	deep        int           // cuts in a row that each came soon after another
	wary        int           // growth behind the peak takes so many times longer: a site that takes nothing at its limit costs more than a refusal
}

func (t *throttle) set() bool { return t.start > 0 }

// now is the rate; 0: none.
func (t *throttle) now() float64 {
	if t.start == 0 {
		return 0
	}
	x := float64(t.grown)/float64(t.rise()) - 1
	if x < 0 {
		return t.peak + (t.peak-t.start)*x*x*x
	}
	x /= float64(1 + t.wary)
	return t.peak * (1 + 0.1*x*x*x)
}

// rise is the time from a cut back to the peak: long enough for some messages.
func (t *throttle) rise() time.Duration {
	return clamp(seconds(30/t.peak), plateau, 4*plateau)
}

// asked notes that a message was asked for; limits says whether the rate is what limits.
func (t *throttle) asked(now time.Time, limits bool) {
	gap := now.Sub(t.seen)
	t.seen = now
	if gap > longIdle {
		t.grown = max(t.grown, t.rise())
	}
	if !limits {
		return
	}
	t.grown += clamp(gap, 0, clamp(seconds(2/t.now()), limitsFor, time.Minute))
	t.used, t.idled = now, time.Time{}
}

// idle notes that every agent is at work and the rate does not limit.
func (t *throttle) idle(now time.Time) {
	if t.idled.IsZero() {
		t.idled = now
	}
}

// stale reports whether the rate has become meaningless.
func (t *throttle) stale(now time.Time) bool {
	return t.set() && (now.Sub(t.used) > learnedOn || t.now() > 8*t.peak || !t.idled.IsZero() && now.Sub(t.idled) > freeFor)
}

// settle is how long a cut needs to show what it has brought.
func (t *throttle) settle() time.Duration {
	return clamp(seconds(8/t.now()), 1500*time.Millisecond, 20*time.Second)
}

// ready reports whether the rate may be cut again.
func (t *throttle) ready(now time.Time) bool { return !t.set() || now.Sub(t.at) >= t.settle() }

// cut lowers the rate to a little less than what the site took lately. If it still says no soon after a cut, what it took since
// then is the truth; if it took nothing, what it took in the last minute is where the rate may return to.
func (t *throttle) cut(now time.Time, f *flow) {
	took := f.rate(now)
	if !t.set() {
		t.restart(now, math.Max(1, 0.9*math.Max(took, f.recent(now))), 0)
		return
	}
	r := t.now()
	if now.Sub(t.at) < 3*t.settle() {
		t.deep++
	} else {
		t.deep = 0
	}
	peak := math.Min(took, r)
	start := 0.9 * peak
	switch {
	case took == 0:
		start, peak = 0.5*r, math.Min(r, f.lately(now))
	case t.deep == 0: // r is a little more than the site takes, and what it took while r grew a little less
		peak = (peak + r) / 2
		start = clamp(0.9*peak, 0.7*r, 0.9*r)
	case t.deep == 1:
		start = math.Min(start, 0.7*r)
	default:
		start = math.Min(start, 0.5*r)
	}
	deep := t.deep
	t.restart(now, start, peak)
	t.deep = deep
}

// plunge lowers the rate to an eighth, because many were refused in a row and none was taken. What the site took in the last
// minute, or was found to take before, is where the rate may return to: it may allow so many in each minute.
func (t *throttle) plunge(now time.Time, f *flow) {
	r := t.now()
	if r == 0 {
		r = math.Max(1, f.recent(now))
	}
	peak := math.Min(r, f.lately(now))
	if 0.5*t.peak > r { // it has plunged before
		peak = t.peak
	}
	t.restart(now, r/8, peak)
	t.wary = min(2*t.wary+1, 15)
}

// restart begins the climb from start to peak.
func (t *throttle) restart(now time.Time, start, peak float64) {
	start = math.Max(lowest, start)
	*t = throttle{start: start, peak: math.Max(start/0.9, peak), at: now, used: now, seen: now, wary: t.wary}
}

func seconds(s float64) time.Duration { return time.Duration(math.Min(s, 1e6) * 1e9) }

func clamp[T int | float64 | time.Duration](x, low, high T) T { return max(low, min(x, high)) }
