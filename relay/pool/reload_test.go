package pool

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// configured is a configuration as a Pace reads it.
func configured(cfg Config) *atomic.Pointer[Config] {
	p := new(atomic.Pointer[Config])
	p.Store(&cfg)
	return p
}

// reload changes the pool's configuration under load.
func (w *world) reload(channels int, change func(*Config)) {
	cfg := *w.pool.cfg.Load()
	change(&cfg)
	w.pool.Reload(cfg, Policy{}, channels, 0, w.queues.Order)
}

// open is how many connections the only site has.
func (w *world) open() int {
	n := 0
	for _, s := range w.pool.Sites() {
		n += s.Channels + s.Idle
	}
	return n
}

// TestLimitsShrinkUnderLoad: connections that are too many end behind their message, each message arrives once, none is
// deferred, and the limits grow again.
func TestLimitsShrinkUnderLoad(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		channels int // in place of 20
		perSite  int // in place of 10
	}{{"connections of a site", 20, 2}, {"channels", 2, 10}, {"both", 3, 2}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorldWith(t, quick(), time.Hour, 20, nil)
			w.listen("x", sink.Character{Delay: 2 * time.Millisecond, DotDelay: 50 * time.Millisecond})
			w.send("prove@x")
			w.drained()
			const n = 600
			for i := range n {
				w.send(fmt.Sprintf("u%d@x", i))
			}
			w.eventually("many connections are at work", func() bool { return w.open() >= 8 })
			most := min(test.channels, test.perSite)
			w.reload(test.channels, func(c *Config) { c.ConnectionsPerSite = test.perSite })
			w.eventually("as many connections are at work as may be", func() bool { return w.pool.channels.working(channelToken) <= most })
			for range 20 {
				time.Sleep(time.Millisecond)
				if got := w.pool.channels.working(channelToken); got > most {
					t.Errorf("%d at work, want %d at most", got, most)
				}
			}
			w.reload(20, func(c *Config) { c.ConnectionsPerSite = 10 })
			w.eventually("many connections are at work again", func() bool { return w.open() >= 8 || w.handler.Status().Messages == 0 })
			w.drained()
			if w.sink.Count() != n+1 || w.handler.Status().Deferrals != 0 {
				t.Errorf("%d arrived, want %d; %+v", w.sink.Count(), n+1, w.handler.Status())
			}
			w.eventually("nobody counts as one who ends", func() bool {
				s := w.pool.all()[0]
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.excess == 0 && s.agents == 0 && w.pool.channels.leaving.Load() == 0
			})
		})
	}
}

// TestIdleConnectionsFollowAReload: idle connections above the new limit, or older than the new time, end at once.
func TestIdleConnectionsFollowAReload(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   int
	}{
		{"fewer connections", func(c *Config) { c.ConnectionsPerSite = 2 }, 2},
		{"a shorter time", func(c *Config) { c.Idle = time.Nanosecond }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := quick()
			cfg.Idle = time.Hour
			w := newWorld(t, cfg, time.Hour)
			w.listen("x", sink.Character{Delay: 5 * time.Millisecond})
			w.send("prove@x")
			w.drained()
			for i := range 100 {
				w.send(fmt.Sprintf("u%d@x", i))
			}
			w.drained()
			w.eventually("connections are idle", func() bool { return w.pool.Sites()[0].Idle > 2 && w.pool.Sites()[0].Channels == 0 })
			w.reload(20, test.change)
			if got := w.pool.Sites()[0].Idle; got != test.want || int(w.pool.idle.Load()) != test.want {
				t.Errorf("%d idle, counted as %d, want %d", got, w.pool.idle.Load(), test.want)
			}
		})
	}
}

// TestClosedSiteFollowsAReload: an admin who shortens closed_for does not wait for the end of the old time.
func TestClosedSiteFollowsAReload(t *testing.T) {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Hour}
	w := newWorld(t, cfg, time.Millisecond)
	w.listen("x", sink.Character{Faults: []sink.Fault{{Stage: sink.Banner, Do: sink.Reply421, Times: 1}}})
	w.send("a@x")
	w.eventually("the site is closed", func() bool { s := w.pool.Sites(); return len(s) == 1 && s[0].Reason != "" })
	w.reload(20, func(c *Config) { c.ClosedFor = []time.Duration{10 * time.Millisecond} })
	w.drained()
	if w.count("sent a@x") != 1 {
		t.Errorf("events %q", w.happened())
	}
}

// TestMessagesPerConnectionFollowsAReload: connections that are open obey the new number too.
func TestMessagesPerConnectionFollowsAReload(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{})
	w.send("a@x")
	w.drained()
	w.reload(20, func(c *Config) { c.MessagesPerConnection = 1 })
	for range 3 {
		w.send("b@x")
		w.drained()
	}
	if got := w.sink.Counts("x").Connections; got != 4 {
		t.Errorf("%d connections for one message and three more, each on its own", got)
	}
}

// TestOrderFollowsAReload: a site's line has the new order.
func TestOrderFollowsAReload(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{})
	w.send("a@x")
	w.drained()
	queue := relay.DefaultQueueConfig()
	queue.Order = "longest"
	w.queues.SetConfig(queue)
	var lines []*relay.Line
	w.pool.Reload(quick(), Policy{}, 20, 0, func(l *relay.Line) { lines = append(lines, l) })
	if len(lines) != 1 || lines[0] != w.pool.all()[0].line {
		t.Errorf("%d lines have been ordered", len(lines))
	}
}
