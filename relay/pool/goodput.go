package pool

import "time"

// flow counts messages that the site took, by time.
type flow struct {
	slots  [32]uint16 // of slotTime each; the newest is at slot % 32
	slot   int64      // the newest, counted from base
	base   time.Time
	marked time.Time // what was taken since the last cut, or since the course began, is counted apart
	taken  int
}

const slotTime = 2 * time.Second

// advance moves to the slot of now.
func (f *flow) advance(now time.Time) {
	if f.base.IsZero() {
		f.base = now
	}
	to := int64(now.Sub(f.base) / slotTime)
	for n := min(to-f.slot, int64(len(f.slots))); n > 0; n-- {
		f.slots[(to-n+1)%int64(len(f.slots))] = 0
	}
	f.slot = max(f.slot, to)
}

func (f *flow) count(now time.Time) {
	f.advance(now)
	if s := &f.slots[f.slot%int64(len(f.slots))]; *s < 1<<16-1 {
		*s++
	}
	f.taken++
}

// mark begins to count anew what is taken from now on.
func (f *flow) mark(now time.Time) { f.marked, f.taken = now, 0 }

// over is how many were taken in the last n slots and the begun one, and how long that is.
func (f *flow) over(now time.Time, n int) (taken int, span time.Duration) {
	f.advance(now)
	n = int(min(int64(n), f.slot, int64(len(f.slots)-1)))
	for i := range int64(n + 1) {
		taken += int(f.slots[(f.slot-i)%int64(len(f.slots))])
	}
	return taken, now.Sub(f.base) - time.Duration(f.slot-int64(n))*slotTime
}

// rate is how many messages a second the site took lately: since the mark, or in the last eight seconds, or in so much more
// that there are some messages. One second is the least, because what a receiver takes at once is not its rate.
func (f *flow) rate(now time.Time) float64 {
	since := now.Sub(f.marked)
	if since <= 4*slotTime {
		return float64(f.taken) / max(since, time.Second).Seconds()
	}
	taken, span := f.over(now, 4)
	for n := 8; taken < 20 && n < len(f.slots); n *= 2 {
		if time.Duration(n)*slotTime > since {
			return float64(f.taken) / since.Seconds()
		}
		taken, span = f.over(now, n)
	}
	return float64(taken) / span.Seconds()
}

// recent is how many messages a second the site took in the last two to four seconds, in which the window may have grown.
func (f *flow) recent(now time.Time) float64 {
	taken, span := f.over(now, 1)
	return float64(taken) / max(span, time.Second).Seconds()
}

// lately is how many messages a second the site took in the last minute.
func (f *flow) lately(now time.Time) float64 {
	taken, span := f.over(now, len(f.slots)-1)
	return float64(taken) / max(span, time.Second).Seconds()
}

// step measures what a window brings in messages a second, to compare it with the window before.
type step struct {
	n      int // messages done since began, all agents being busy but for a few moments
	few    int // of them, done while too few agents were at work
	began  time.Time
	before int     // the window measured before; 0: none
	rate   float64 // what that brought
	poor   bool    // the present window has brought too little once
	skip   int     // messages to leave out: they were begun before the window grew, or while agents were connecting
}

type verdict uint8

const (
	measuring verdict = iota
	useful            // or the first to be measured
	useless           // twice in a row less than 0.3 of the gain that was expected
)

// again begins the measurement anew.
func (s *step) again(now time.Time) { s.n, s.few, s.began = 0, 0, now }

// short counts a message that was done while too few agents were at work to tell what the window is good for. A connection that has
// reached its limit of messages is away for a moment, and a site that is fast has such a moment many times a second. The
// measurement begins anew where it is more than a moment.
func (s *step) short(now time.Time) {
	s.n, s.few = s.n+1, s.few+1
	if s.skip > 0 || 4*s.few > s.n {
		s.again(now)
	}
}

// note counts a message. It reports false while messages are left out.
func (s *step) note(now time.Time) bool {
	if s.skip == 0 {
		s.n++
		return true
	}
	if s.skip--; s.skip == 0 {
		s.again(now)
	}
	return false
}

// slowMessage is how long a message takes at a site of which nobody can tell soon what one connection more has brought. There are
// few messages then, and they come in bursts.
const slowMessage = 5 * time.Second

// quickMessage is how long a message takes at a receiver of which nobody can tell what one connection more has brought either:
// the receiver is this machine or one beside it, and our own processor limits. A connection more costs nothing, and saves wake-ups.
const quickMessage = 2 * time.Millisecond

// judge says whether the window w is better than the one measured before. It takes at least twice as many messages as there are
// agents, and a second; when messages take long, fewer will do to climb.
func (s *step) judge(now time.Time, w int, climbing bool) verdict {
	took := now.Sub(s.began)
	need, least := max(2*w, 10), time.Second
	if took > 10*time.Second {
		need = 2 * w
	}
	switch {
	case climbing && took > 10*time.Second:
		need = w
	case climbing:
		least = time.Second / 4
	}
	if s.poor {
		need *= 3
	}
	if s.n < need || took < least {
		return measuring
	}
	rate := float64(s.n) / took.Seconds()
	busy, n := took*time.Duration(w), time.Duration(s.n)
	grown := s.before > 0 && w > s.before && busy < slowMessage*n && busy > quickMessage*n
	if grown && rate-s.rate < 0.3*s.rate*float64(w-s.before)/float64(s.before) {
		if !s.poor {
			s.poor = true
			return measuring // once more, longer
		}
		s.poor = false
		return useless
	}
	s.before, s.rate, s.poor = w, rate, false
	return useful
}

// latency follows how long the reply to a body takes.
type latency struct {
	fast, slow float64 // moving averages in seconds, over about 8 and 32 messages
	low, prior float64 // the lowest fast of these five minutes, and of the five before
	since      time.Time
}

const lowFor = 5 * time.Minute

func (l *latency) note(now time.Time, dot time.Duration) {
	if dot <= 0 {
		return
	}
	d := dot.Seconds()
	if l.fast == 0 {
		*l = latency{fast: d, slow: d, low: d, prior: d, since: now}
		return
	}
	l.fast += (d - l.fast) / 8
	l.slow += (d - l.slow) / 32
	if now.Sub(l.since) > lowFor {
		l.low, l.prior, l.since = l.fast, l.low, now
	}
	l.low = min(l.low, l.fast)
}

// rising reports whether the site takes twice as long as in its best time of the last ten minutes, and longer and longer: then
// one more agent would only wait. What is quick in any case says nothing.
func (l *latency) rising() bool {
	return l.fast > 2*max(min(l.low, l.prior), quickMessage.Seconds()) && l.fast > 1.05*l.slow
}
