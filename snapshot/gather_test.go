package snapshot

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// slowDisk is a file system whose syncs take time.
type slowDisk struct {
	FileSystem
	took func() time.Duration
}

func (d slowDisk) Create(name string) (File, error) {
	f, err := d.FileSystem.Create(name)
	return slowFile{f, d}, err
}

type slowFile struct {
	File
	disk slowDisk
}

func (f slowFile) Sync() error {
	time.Sleep(f.disk.took())
	return f.File.Sync()
}

// hasty is an alarm that does not wait: no commit gathers.
type hasty struct{}

func (hasty) wait(time.Duration) {}
func (hasty) ring()              {}
func (hasty) close()             {}

// traffic is mail at a journal: so many doors, each of which thinks between an answer and its next take. With visits, each message
// is sent behind its answer, and its visit asks for its mark after smtp.
type traffic struct {
	doors  int
	think  time.Duration // mean; 0: none
	visits bool
	near   bool // the visits are expected
	smtp   time.Duration
	hasty  bool
}

// course is traffic under way, and how it went.
type course struct {
	traffic
	mu    sync.Mutex
	rng   *rand.Rand
	takes int
	wait  time.Duration // of all takes
	most  time.Duration
	syncs float64 // a message
	slow  bool    // the disk is
}

// random is a time with this mean.
func (x *course) random(mean time.Duration) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	return time.Duration(x.rng.ExpFloat64() * float64(mean))
}

// sync is the time of a sync as on a disk that others use too: half a millisecond, some of several, and 10 at most.
func (x *course) sync() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch n := x.rng.IntN(100); {
	case !x.slow:
		return 0
	case n < 85:
		return time.Duration(300+x.rng.IntN(500)) * time.Microsecond
	case n < 98:
		return time.Duration(1000+x.rng.IntN(3000)) * time.Microsecond
	}
	return 10 * time.Millisecond
}

// run lets the traffic run for two seconds.
func (x traffic) run(t *testing.T) *course {
	c := &course{traffic: x, rng: rand.New(rand.NewPCG(1, 2))}
	synctest.Test(t, func(t *testing.T) {
		a, _, _, err := start(slowDisk{newMemFS(), c.sync}, testConfig())
		must(t, err)
		defer a.Close()
		if x.hasty {
			a.book.bell.alarm = hasty{}
		}
		c.slow = true
		var wg sync.WaitGroup
		begin := time.Now()
		for range x.doors {
			wg.Go(func() {
				for time.Since(begin) < 2*time.Second {
					time.Sleep(c.random(x.think))
					m := c.take(t, a)
					if x.visits {
						wg.Go(func() { c.visit(t, a, m) })
					}
				}
			})
		}
		wg.Wait()
		c.syncs = float64(a.Status().Syncs) / float64(c.takes)
	})
	return c
}

// take takes a message and notes how long that took.
func (x *course) take(t *testing.T, a *Agent) *relay.Message {
	m := message(a.NewID(), "b", "x@a.example")
	m.Node(0).Near = x.near
	from := time.Now()
	if err := a.Take(m); err != nil {
		t.Error(err)
	}
	d := time.Since(from)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.takes++
	x.wait += d
	x.most = max(x.most, d)
	return m
}

// visit sends a message.
func (x *course) visit(t *testing.T, a *Agent, m *relay.Message) {
	r := a.Begin(m.Node(0))
	time.Sleep(x.smtp)
	if err := await(r); err != nil {
		t.Error(err)
	}
	a.Event(&relay.Event{Kind: relay.EventSettled, Message: m, Rcpt: 0, Outcome: relay.Sent})
	a.Event(&relay.Event{Kind: relay.EventRemoved, Message: m, Rcpt: -1})
}

// TestGather: how many syncs a message costs, and how much longer a take waits on average than with commits that do not gather.
func TestGather(t *testing.T) {
	const us = time.Microsecond
	for name, tt := range map[string]struct {
		traffic
		syncs, wait float64 // at most: of a message, and of what a take waited before
	}{
		"one door":                  {traffic{doors: 1, think: 200 * us}, 1.01, 1.001},
		"one door, never idle":      {traffic{doors: 1}, 1.01, 1.001},
		"one door, visits":          {traffic{doors: 1, think: 3000 * us, visits: true, smtp: 300 * us}, 1.95, 1.02},
		"one door, expected visits": {traffic{doors: 1, think: 3000 * us, visits: true, near: true, smtp: 300 * us}, 1.05, 0.9},
		"two doors":                 {traffic{doors: 2, think: 200 * us}, 0.75, 0.85},
		"ten doors":                 {traffic{doors: 10, think: 200 * us}, 0.13, 0.85},
		"ten doors, visits":         {traffic{doors: 10, think: 200 * us, visits: true, smtp: 300 * us}, 0.13, 0.85},
		"fifty doors":               {traffic{doors: 50, think: 500 * us}, 0.03, 1},
		"fifty doors, 800/s":        {traffic{doors: 50, think: 60_000 * us, visits: true, near: true, smtp: 300 * us}, 0.78, 1.1},
		"fifty doors, 300/s":        {traffic{doors: 50, think: 166_000 * us, visits: true, near: true, smtp: 300 * us}, 1, 1.05},
	} {
		t.Run(name, func(t *testing.T) {
			before := tt.traffic
			before.hasty, before.near = true, false
			now, old := tt.run(t), before.run(t)
			wait := float64(now.wait) / float64(now.takes) / (float64(old.wait) / float64(old.takes))
			t.Logf("%d takes (%d), %.2f syncs each (%.2f), a take waits %.2f times what it did, %s at most (%s)", now.takes, old.takes, now.syncs, old.syncs, wait, now.most, old.most)
			if now.syncs > tt.syncs || wait > tt.wait {
				t.Errorf("%.3f syncs each and %.3f times the wait, want at most %.3f and %.3f", now.syncs, wait, tt.syncs, tt.wait)
			}
		})
	}
}

// crowded is a gather after several syncs of this length, for which and after which ten doors asked each time, 100 µs apart.
func crowded(took time.Duration) *gather {
	g := &gather{}
	for range 50 {
		for range 10 {
			time.Sleep(100 * time.Microsecond)
			g.ask(crowd{takes: 1})
		}
		g.sealed()
		g.synced(took)
	}
	return g
}

// TestGatherWaits: for whom a commit waits, and how long at most.
func TestGatherWaits(t *testing.T) {
	takes := func(g *gather, n int) (enough bool) {
		for range n {
			time.Sleep(100 * time.Microsecond)
			enough = g.ask(crowd{takes: 1})
		}
		return enough
	}
	for name, tt := range map[string]struct {
		took  time.Duration // of the syncs before
		first func(g *gather)
		waits bool
	}{
		"others will come":   {time.Millisecond, func(g *gather) { takes(g, 3) }, true},
		"a very slow disk":   {time.Minute, func(g *gather) { takes(g, 3) }, true},
		"a very fast disk":   {50 * time.Microsecond, func(g *gather) { takes(g, 3) }, false},
		"nobody has asked":   {time.Millisecond, func(*gather) {}, false},
		"all have asked":     {time.Millisecond, func(g *gather) { takes(g, 10) }, false},
		"alone for a while":  {time.Millisecond, func(g *gather) { time.Sleep(aloneAfter); takes(g, 1) }, false},
		"rarely asked":       {time.Millisecond, func(g *gather) { g.gap = 2 * time.Millisecond; takes(g, 1) }, false},
		"large enough":       {time.Millisecond, func(g *gather) { takes(g, 3); g.fill() }, false},
		"a visit, and doors": {time.Millisecond, func(g *gather) { time.Sleep(time.Microsecond); g.ask(crowd{visits: 1}) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := crowded(tt.took)
				tt.first(g)
				if d := g.wait(); (d > 0) != tt.waits || d > maxGather || d > tt.took {
					t.Errorf("the commit waits %s", d)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		g := crowded(time.Millisecond)
		if takes(g, 8); g.wait() == 0 || takes(g, 0) || !takes(g, 1) || takes(g, 1) {
			t.Error("the wait does not end with the ninth of ten doors, once")
		}
		g.sealed()
		if takes(g, 3); g.wait() == 0 || !g.fill() {
			t.Error("the wait does not end with a commit that is large enough")
		}
	})
}

// TestAlarm: a wait has an end, and ring ends one that would be too long.
func TestAlarm(t *testing.T) {
	kernel, err := newKernelAlarm()
	if err != nil {
		t.Log("no alarm of the kernel:", err)
		kernel = newAlarm(nil)
	}
	for name, a := range map[string]alarm{"kernel": kernel, "timer": newAlarm(nil)} {
		t.Run(name, func(t *testing.T) {
			defer a.close()
			a.ring() // nobody waits
			a.wait(time.Microsecond)
			begin := time.Now()
			a.wait(20 * time.Millisecond)
			if waited := time.Since(begin); waited < 20*time.Millisecond {
				t.Errorf("a wait of 20 ms has lasted %s", waited)
			}
			woke := make(chan struct{})
			go func() { // ends with its wait
				a.wait(time.Hour)
				close(woke)
			}()
			select {
			case <-woke:
				t.Error("nobody has ended the wait")
			case <-time.After(20 * time.Millisecond):
			}
			for range 10_000 {
				a.ring() // the first may come too early
				select {
				case <-woke:
					return
				case <-time.After(time.Millisecond):
				}
			}
			t.Error("ring does not end the wait")
		})
	}
}
