package pool

import (
	"testing"
	"time"
)

// goal is one receiver, and what must be shown against it. share is of the messages that the receiver could have taken, from
// the time learned on; lost is refused and turned away of all attempts, in the same time.
type goal struct {
	name    string
	most    int // connections that the configuration allows
	set     func(*model)
	able    float64 // messages a second that the receiver takes
	share   float64
	refused float64 // the most refused messages, for each that was taken
	turned  float64 // the most connections turned away, for each attempt
}

var goals = []goal{
	{"no limit", 10, func(m *model) { m.latency = 100 * time.Millisecond }, 100, 0.97, 0, 0},
	{"five connections", 10, func(m *model) { m.conns = 5; m.latency = 100 * time.Millisecond }, 50, 0.97, 0, 0.02},
	{"five slow connections", 10, func(m *model) { m.conns = 5; m.latency = 2500 * time.Millisecond }, 2, 0.97, 0, 0.05},
	{"five that count for a while", 10, func(m *model) {
		m.conns, m.latency, m.linger, m.patient = 5, time.Second/2, 2*time.Second, 5*time.Second
	}, 10 * 50 / 52.5, 0.95, 0, 0.05},
	{"eight tarpits", 10, func(m *model) { m.conns = 8; m.latency = 100 * time.Second }, 0.08, 0.75, 0, 0.5},
	{"one connection", 10, func(m *model) { m.conns = 1 }, 1 / 0.03, 0.97, 0, 0.02},
	{"50 a second", 10, func(m *model) { m.rate = 50 }, 50, 0.95, 0.01, 0},
	{"5 a second", 10, func(m *model) { m.rate = 5 }, 5, 0.95, 0.02, 0},
	{"one in two seconds", 10, func(m *model) { m.rate = 0.5 }, 0.5, 0.9, 0.05, 0},
	{"50 a second, each in 2 s", 200, func(m *model) { m.rate = 50; m.latency = 2 * time.Second }, 50, 0.9, 0.01, 0},
	{"the same, unevenly", 200, func(m *model) { m.rate = 50; m.latency = 2 * time.Second; m.jitter = 0.5 }, 50, 0.9, 0.01, 0},
	{"5 connections, 20 a second", 10, func(m *model) { m.conns = 5; m.rate = 20; m.latency = 100 * time.Millisecond }, 20, 0.95, 0.01, 0.05},
	{"3000 in each minute", 10, func(m *model) { m.quota = 3000 }, 50, 0.75, 0.01, 0},
	{"one after the other", 20, func(m *model) { m.serial = 100 * time.Millisecond }, 10, 0.95, 0, 0},
	{"five transactions", 20, func(m *model) { m.atMail = 5; m.latency = 200 * time.Millisecond }, 25, 0.9, 0.01, 0},
	{"uneven answers", 20, func(m *model) { m.latency = 200 * time.Millisecond; m.jitter = 0.9 }, 100, 0.9, 0, 0},
}

// TestPaceReachesWhatReceiversTake feeds each receiver for an hour. The first two minutes are for learning.
func TestPaceReachesWhatReceiversTake(t *testing.T) {
	for _, g := range goals {
		t.Run(g.name, func(t *testing.T) {
			m := newModel(g.most)
			g.set(m)
			m.run(time.Hour)
			x := m.sum(2, 60)
			share := float64(x.taken) / (58 * 60 * g.able)
			t.Logf("took %5.1f %% of %.4g/s, %d refused, %d of %d connections turned away; at the end %d agents, %.3g/s",
				100*share, g.able, m.refused, m.turned, m.attempts, m.p.Window(m.now), m.p.View(m.now).Rate)
			if share < g.share || float64(x.refused) > g.refused*float64(x.taken) || float64(x.turned) > g.turned*float64(x.attempts) {
				t.Errorf("want %.0f %%, at most %.3f refused for each message and %.3f turned away for each connection", 100*g.share, g.refused, g.turned)
				m.show(t)
			}
			if early := m.sum(1, 2); float64(early.taken) < 0.5*60*g.able && g.able > 2 {
				t.Errorf("took %d in the second minute", early.taken)
			}
		})
	}
}

// TestPaceFollowsChanges changes a receiver's limit, and counts from two minutes after.
func TestPaceFollowsChanges(t *testing.T) {
	for _, c := range []struct {
		name          string
		most          int
		before, after func(*model)
		able          float64
		share         float64
	}{
		{"a rate doubles", 10, func(m *model) { m.rate = 25 }, func(m *model) { m.rate = 50 }, 50, 0.9},
		{"a rate halves", 10, func(m *model) { m.rate = 50 }, func(m *model) { m.rate = 25 }, 25, 0.9},
		{"a rate falls to a tenth", 10, func(m *model) { m.rate = 50 }, func(m *model) { m.rate = 5 }, 5, 0.9},
		{"a rate limit goes", 10, func(m *model) { m.rate = 20 }, func(m *model) { m.rate = 0 }, 333, 0.75},
		{"20 connections become 3", 30, func(m *model) { m.conns = 20; m.latency = time.Second / 5 }, func(m *model) { m.conns = 3 }, 15, 0.95},
		{"3 connections become 10", 30, func(m *model) { m.conns = 3; m.perConn = 10; m.latency = time.Second / 5 }, func(m *model) { m.conns = 10 }, 50 * 10 / 11., 0.9},
		{"20 slow connections become 3, and then 12", 30, func(m *model) { m.conns = 20; m.latency = 2 * time.Second }, func(m *model) {
			m.conns = 3
			m.in(5*time.Minute, func() { m.conns = 12 })
		}, 6, 0.7},
		{"answers become slow", 30, func(m *model) { m.latency = time.Second / 10 }, func(m *model) { m.latency = time.Second }, 30, 0.9},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(c.most)
			c.before(m)
			m.run(20 * time.Minute)
			refused, turned := m.refused, m.turned
			c.after(m)
			m.run(20 * time.Minute)
			x := m.sum(22, 40)
			share := float64(x.taken) / (18 * 60 * c.able)
			t.Logf("took %5.1f %% of %.4g/s; since the change %d refused, %d turned away; at the end %d agents, %.3g/s", 100*share, c.able,
				m.refused-refused, m.turned-turned, m.p.Window(m.now), m.p.View(m.now).Rate)
			if share < c.share || m.refused-refused > 300 || m.turned-turned > 60 {
				t.Errorf("want %.0f %%, at most 300 refused and 60 turned away", 100*c.share)
				m.show(t)
			}
		})
	}
}

func (m *model) sum(from, to int) (s minute) {
	for _, x := range m.byMinute[from:to] {
		s.taken, s.refused, s.attempts, s.turned = s.taken+x.taken, s.refused+x.refused, s.attempts+x.attempts, s.turned+x.turned
	}
	return s
}

// show logs the first minutes and each tenth.
func (m *model) show(t *testing.T) {
	for i, x := range m.byMinute {
		if i < 5 || i%10 == 0 || i > 20 && i < 25 {
			t.Logf("minute %2d: %+v", i, x)
		}
	}
}

// TestPaceWidensBesideUs: at a receiver beside us each connection is between two of its own many times a second, and our processor
// shares what it can do among all that are open. Both are no reason for fewer.
func TestPaceWidensBesideUs(t *testing.T) {
	m := newModel(20)
	m.latency, m.jitter, m.serial = 100*time.Microsecond, 0.5, 50*time.Microsecond
	m.run(10 * time.Second)
	if w := m.p.Window(m.now); w != 20 || m.taken == 0 {
		t.Errorf("%d agents after %d messages, want 20", w, m.taken)
	}
}
