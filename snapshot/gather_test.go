package snapshot

import (
	"fmt"
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

// traffic is mail at a journal: so many doors, each of which thinks between an answer and its next take, and a visit of each message
// that asks for its mark a while after the answer.
type traffic struct {
	doors  int
	think  func(*rand.Rand) time.Duration
	visits bool
	smtp   time.Duration
	sync   func(*rand.Rand) time.Duration
	hasty  bool
	lasts  time.Duration
}

type tally struct {
	mu                  sync.Mutex
	takes               int
	wait, most, markMax time.Duration
	mark                time.Duration
	marks               int
	syncs               int64
}

func (r *tally) String() string {
	return fmt.Sprintf("%d takes, %.2f syncs each, take %v (most %v), mark %v (most %v)", r.takes, float64(r.syncs)/float64(r.takes),
		r.wait/time.Duration(r.takes), r.most, r.mark/time.Duration(max(r.marks, 1)), r.markMax)
}

func (x traffic) run(t *testing.T) *tally {
	r := &tally{}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		rng := rand.New(rand.NewPCG(1, 2))
		on := false
		random := func(f func(*rand.Rand) time.Duration) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return f(rng)
		}
		a, _, _, err := start(slowDisk{newMemFS(), func() time.Duration {
			if !on {
				return 0
			}
			return random(x.sync)
		}}, testConfig())
		must(t, err)
		defer a.Close()
		if x.hasty {
			a.book.bell.alarm = hasty{}
		}
		on = true
		begin := time.Now()
		var wg sync.WaitGroup
		for range x.doors {
			wg.Go(func() {
				for time.Since(begin) < x.lasts {
					time.Sleep(random(x.think))
					m := message(a.NewID(), "b", "x@a.example")
					from := time.Now()
					must(t, a.Take(m))
					d := time.Since(from)
					r.mu.Lock()
					r.takes++
					r.wait += d
					r.most = max(r.most, d)
					r.mu.Unlock()
					if x.visits {
						wg.Go(func() {
							rec := a.Begin(m.Nodes[0])
							time.Sleep(x.smtp)
							from := time.Now()
							must(t, await(rec))
							d := time.Since(from)
							r.mu.Lock()
							r.marks++
							r.mark += d
							r.markMax = max(r.markMax, d)
							r.mu.Unlock()
							a.Event(&relay.Event{Kind: relay.EventSettled, Message: m, Rcpt: 0, Outcome: relay.Sent})
							a.Event(&relay.Event{Kind: relay.EventRemoved, Message: m, Rcpt: -1})
						})
					}
				}
			})
		}
		wg.Wait()
		r.syncs = a.Status().Syncs
	})
	return r
}

func fixed(d time.Duration) func(*rand.Rand) time.Duration {
	return func(*rand.Rand) time.Duration { return d }
}

func exp(d time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(d)) }
}

func TestTraffic(t *testing.T) {
	us := time.Microsecond
	disk := func(r *rand.Rand) time.Duration { // p50 0.55 ms, mean about 1 ms, some 10 ms
		switch x := r.IntN(100); {
		case x < 85:
			return time.Duration(300+r.IntN(500)) * us
		case x < 98:
			return time.Duration(1000+r.IntN(3000)) * us
		}
		return 10000 * us
	}
	for _, v := range []bool{false, true} {
		for _, c := range []struct {
			doors int
			think func(*rand.Rand) time.Duration
			name  string
		}{
			{1, fixed(0), "0"}, {1, fixed(200 * us), "200us"}, {1, exp(500 * us), "exp 500us"}, {1, exp(3000 * us), "exp 3ms"}, {1, fixed(100000 * us), "100ms"},
			{2, exp(200 * us), "exp 200us"}, {10, exp(200 * us), "exp 200us"}, {10, exp(33000 * us), "exp 33ms (300/s)"}, {50, exp(500 * us), "exp 500us"},
			{50, exp(60000 * us), "exp 60ms (800/s)"}, {50, exp(166000 * us), "exp 166ms (300/s)"}, {50, exp(500000 * us), "exp 500ms (100/s)"},
		} {
			x := traffic{doors: c.doors, think: c.think, visits: v, smtp: 300 * us, sync: disk, lasts: 5 * time.Second}
			now := x.run(t)
			x.hasty = true
			old := x.run(t)
			t.Logf("visits %v, %d doors, think %s\n   hasty  %s\n   gather %s", v, c.doors, c.name, old, now)
		}
	}
}
