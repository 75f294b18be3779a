package pool

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/relay"
)

// site1 is a pace with at most most agents that has proven itself, and a time.
func site1(most int) (*Pace, time.Time) {
	cfg := DefaultConfig()
	cfg.ConnectionsPerSite = most
	p := newPace(configured(cfg), relay.ReasonSite, "x")
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	p.Done(now, now, 1, 0)
	return &p, now
}

// TestPaceKeepsItsBounds plays anything that may happen in any order.
func TestPaceKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 40).Draw(t, "most")
		rate := rapid.SampledFrom([]float64{0, 0, 0.3, 2, 7, 60}).Draw(t, "rate")
		p, now := site1(most)
		p.Limit(Limits{Connections: most, Rate: rate})
		var sent []time.Time
		for range rapid.IntRange(1, 300).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 1e6, 2e7, 3e8, 2e9, 7e10, 1e13}).Draw(t, "later")))
			busy := rapid.IntRange(0, most+1).Draw(t, "busy")
			began := now.Add(-time.Duration(rapid.Int64Range(0, 3e9).Draw(t, "took")))
			switch rapid.IntRange(0, 13).Draw(t, "event") {
			case 0:
				p.Slowed(now, began, busy, "451 slow down")
			case 1:
				p.TurnedAway(now, busy, "421 too many")
			case 2:
				p.Connected(now)
			case 3:
				p.Failed(now, "refused")
			case 4:
				p.Trouble(now, "lost")
			case 5:
				p.Override(now, Override{Window: busy, Rate: float64(busy) / 3, Suspend: busy == 0, For: 5 * time.Second})
			case 6:
				if p.Ask(now) == 0 {
					p.Unask(now)
				}
			case 7, 8, 9:
				p.Done(now, began, busy, now.Sub(began))
			case 10:
				checkRecall(t, p, now)
			default:
				wait := p.Ask(now)
				if wait < 0 || wait > askAgain {
					t.Fatalf("ask again after %s", wait)
				}
				if wait == 0 {
					sent = append(sent, now)
				}
			}
			if w := p.Window(now); w < 0 || w > most {
				t.Fatalf("window %d of %d", w, most)
			}
			if v := p.View(now); v.Rate < 0 || rate > 0 && v.Rate > rate || v.Goodput < 0 || v.RateBy == "" != (v.Rate == 0) {
				t.Fatalf("%+v with rate %v", v, rate)
			}
		}
		for i := range sent {
			n := 0
			for _, at := range sent[i:] {
				if at.Sub(sent[i]) < time.Second {
					n++
				}
			}
			if rate > 0 && float64(n) > rate+1 {
				t.Fatalf("%d messages in a second with rate %v", n, rate)
			}
		}
	})
}

// checkRecall checks that what was learned is the same after a restart, and after two.
func checkRecall(t *rapid.T, p *Pace, now time.Time) {
	learned, _ := p.Learned(now)
	for range 2 {
		q := newPace(p.cfg, p.kind, p.who)
		q.Recall(now, learned)
		if l, _ := q.Learned(now); l != learned {
			t.Fatalf("recalled %+v\nof       %+v", l, learned)
		}
	}
}

// TestPaceForgetsWhatIsOld: a day later nothing is left, and half a day later half of the window.
func TestPaceForgetsWhatIsOld(t *testing.T) {
	p, now := site1(30)
	p.TurnedAway(now, 22, "421 too many")
	p.Slowed(now, now, 22, "451 slow down")
	p.Override(now, Override{Suspend: true, For: 48 * time.Hour, Why: "421 not before Friday"})
	l, ok := p.Learned(now)
	if !ok || l.Ceiling != 21 || l.Rate == 0 {
		t.Fatalf("learned %+v", l)
	}
	l.Window = 22
	for _, c := range []struct {
		later   time.Duration
		window  int
		ceiling int
		rate    bool
	}{{0, 22, 21, true}, {12 * time.Hour, 12, 21, true}, {25 * time.Hour, 0, 0, false}} {
		q := newPace(p.cfg, relay.ReasonSite, "x")
		at := now.Add(c.later)
		q.Recall(at, l)
		back, _ := q.Learned(at)
		if back.Window != c.window || back.Ceiling != c.ceiling || back.Rate > 0 != c.rate {
			t.Errorf("after %s: %+v", c.later, back)
		}
		if why := q.Closed(); q.Window(at) != 0 || !strings.Contains(why.Text, "Friday") {
			t.Errorf("after %s the site is not suspended: %q", c.later, why.Text)
		}
	}
	none := newPace(p.cfg, relay.ReasonSite, "x")
	if _, ok := none.Learned(now); ok {
		t.Error("a new site has learned something")
	}
}

// TestPaceOfReplyRules: a rule holds for its time, and never raises a limit.
func TestPaceOfReplyRules(t *testing.T) {
	p, now := site1(10)
	p.Override(now, Override{Window: 1, Rate: 2, For: time.Minute, Why: "rule 3"})
	if v := p.View(now); v.Window != 1 || v.WindowBy != byReply || v.Rate != 2 || v.RateBy != byReply {
		t.Errorf("%+v", v)
	}
	p.Override(now, Override{Window: 50})
	if w := p.Window(now); w != firstWindow {
		t.Errorf("window %d", w)
	}
	p.Override(now, Override{Suspend: true, For: time.Minute, Why: "rule 4"})
	if why := p.Closed(); p.Window(now) != 0 || why.Text != "a rule suspends the site: rule 4" || !why.Until.Equal(now.Add(time.Minute)) {
		t.Errorf("suspended: %+v", why)
	}
	p.Done(now, now, 1, 0)
	if p.Window(now) != 0 {
		t.Error("a transaction that was under way has ended the suspension")
	}
	now = now.Add(time.Minute)
	if w := p.Window(now); w != firstWindow || p.Closed().Waits() {
		t.Errorf("window %d when the minute is over, %+v", w, p.Closed())
	}
	now = now.Add(time.Hour)
	if v := p.View(now); v.Rate != 0 || p.rule != nil {
		t.Errorf("the rule stays: %+v", v)
	}
}

// TestPaceOfConfiguredRate: never above the limit, evenly, and no less than it.
func TestPaceOfConfiguredRate(t *testing.T) {
	for _, rate := range []float64{0.1, 3, 250} {
		m := newModel(10)
		m.p.Limit(Limits{Connections: 10, Rate: rate})
		m.run(10 * time.Minute)
		if got := float64(m.taken) / 600; got > rate+1./600 || got < 0.97*rate {
			t.Errorf("%.3f a second with a limit of %v", got, rate)
		}
		if m.p.View(m.now).RateBy != byRule {
			t.Errorf("%+v", m.p.View(m.now))
		}
	}
}

// TestPaceAfterAnOutage: one connection at a time asks a dead site, and the way back is no storm.
func TestPaceAfterAnOutage(t *testing.T) {
	m := newModel(20)
	m.latency = 200 * time.Millisecond
	m.run(10 * time.Minute)
	m.dead, m.perConn = true, 1 // connections end, and no new one is made
	m.run(20 * time.Minute)
	m.dead, m.perConn = false, 100
	if x := m.sum(11, 30); x.attempts > 19 {
		t.Errorf("%d attempts in the outage", x.attempts)
	}
	m.peak = 0
	for taken := m.taken; m.taken == taken; {
		m.run(time.Second)
	}
	if m.run(time.Second); m.peak > 4 {
		t.Errorf("%d connections a second after the site is back", m.peak)
	}
	if m.run(time.Minute); m.peak < 16 {
		t.Errorf("%d connections a minute later", m.peak)
	}
}

// TestPaceClosesASiteThatRefusesEverything: with few messages charged, also when many agents are at work.
func TestPaceClosesASiteThatRefusesEverything(t *testing.T) {
	m := newModel(10)
	m.run(10 * time.Minute)
	m.quota = 1
	m.run(50 * time.Second)
	if m.refused > 40 {
		t.Errorf("%d refused", m.refused)
	}
	if !m.p.Closed().Waits() {
		t.Error("the site is open")
	}
}

// TestPaceOfConnectionRefusedAtOnce: a request to slow down in place of the first greeting closes the site.
func TestPaceOfConnectionRefusedAtOnce(t *testing.T) {
	p, now := site1(10)
	p.TurnedAway(now, 0, "421 4.7.0 try again later")
	if why := p.Closed(); p.Window(now) != 0 || why.Text != "421 4.7.0 try again later" {
		t.Errorf("window %d, %+v", p.Window(now), why)
	}
}

// TestPaceCutsOncePerCohort: refusals of transactions that were under way at the cut are one refusal.
func TestPaceCutsOncePerCohort(t *testing.T) {
	p, now := site1(20)
	c := p.steer(now)
	c.w = 10
	began := now
	for range 8 {
		now = now.Add(10 * time.Millisecond)
		p.Done(now, began, 10, 0)
		p.Slowed(now, began, 10, "451")
	}
	if c.w != 7 {
		t.Errorf("window %v after one cohort", c.w)
	}
	now = now.Add(10 * time.Second) // by then the rate of a message a second has shown what it brings
	p.Done(now, now, 7, 0)
	p.Slowed(now.Add(time.Second), now, 7, "451")
	if c.w > 5 {
		t.Errorf("window %v after two", c.w)
	}
}

// TestPaceGivesBackWhatBringsNothing: a site that works on one message after the other gets few connections. One that is
// offered little, or whose rate is limited, loses none for it.
func TestPaceGivesBackWhatBringsNothing(t *testing.T) {
	for _, c := range []struct {
		name     string
		set      func(*model)
		low, top int
	}{
		{"serial", func(m *model) { m.serial = 50 * time.Millisecond }, 1, 4},
		{"parallel", func(m *model) {}, 20, 20},
		{"a rate is set", func(m *model) { m.p.Limit(Limits{Connections: 20, Rate: 10}) }, 1, 2},
	} {
		m := newModel(20)
		m.latency = 100 * time.Millisecond
		c.set(m)
		m.run(10 * time.Minute)
		if w := m.p.Window(m.now); w < c.low || w > c.top {
			t.Errorf("%s: %d agents", c.name, w)
		}
	}
	m := newModel(20)
	m.latency = 100 * time.Millisecond
	m.run(time.Minute)
	m.offered = 0
	for range 600 {
		m.offered = 3
		m.run(time.Second)
	}
	if w := m.p.Window(m.now); w != 20 {
		t.Errorf("%d agents after ten minutes with little mail", w)
	}
}

// TestPaceDoesNotGrowWhileRepliesTakeLonger, and does not shrink for it.
func TestPaceDoesNotGrowWhileRepliesTakeLonger(t *testing.T) {
	p, now := site1(20)
	c := p.steer(now)
	took := 0.1
	for range 200 {
		now = now.Add(20 * time.Millisecond)
		p.Done(now, now, p.Window(now), time.Duration(took*1e9))
		took *= 1.05
		if c.w > 16 {
			break
		}
	}
	before := c.w
	if !c.latency.rising() || before > 8 {
		t.Fatalf("window %v, latency %+v", before, c.latency)
	}
	for range 200 {
		now = now.Add(20 * time.Millisecond)
		p.Done(now, now, p.Window(now), time.Duration(took*1e9))
		took *= 1.05
	}
	if c.w != before {
		t.Errorf("window %v, was %v", c.w, before)
	}
}

// TestPaceForgetsAFalseAlarm: one refusal without a cause is over in minutes.
func TestPaceForgetsAFalseAlarm(t *testing.T) {
	m := newModel(10)
	m.run(5 * time.Minute)
	m.p.Slowed(m.now, m.now, 10, "421 4.3.2 shutting down")
	m.run(10 * time.Minute)
	if x := m.sum(8, 15); float64(x.taken) < 0.95*7*60*330 {
		t.Errorf("%.1f a second from the third minute on", float64(x.taken)/420)
	}
	if v := m.p.View(m.now); v.Rate != 0 || v.Window != 10 || v.Throttled == "" {
		t.Errorf("%+v", v)
	}
}

// TestPaceAllocatesNothing for a message.
func TestPaceAllocatesNothing(t *testing.T) {
	p, now := site1(10)
	p.Slowed(now, now, 5, "451")
	n := testing.AllocsPerRun(1000, func() {
		now = now.Add(50 * time.Millisecond)
		p.Window(now)
		if p.Ask(now) == 0 {
			p.Done(now, now, 5, time.Millisecond)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestPaceTriesOftenOnlyWhatHasFallen: a limit that has risen again, though not to what it was, is tried as seldom as any other.
func TestPaceTriesOftenOnlyWhatHasFallen(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	l := ceiling{top: 20, high: 20, last: 20, dips: maxDips}
	l.refused(now, 3, 20)
	now = now.Add(tryOften)
	if !l.due(now) {
		t.Error("a limit that has fallen is not tried again in two minutes")
	}
	for range 100 {
		l.worked(13)
	}
	l.rises(13)
	now = now.Add(fallFor)
	for range maxDips + 2 { // dips; then the limit is known, and tried in vain
		now = now.Add(30 * time.Second)
		l.refused(now, 12, 13)
	}
	if l.due(now.Add(tryOften)) {
		t.Error("a limit that has risen again is tried each two minutes")
	}
}
