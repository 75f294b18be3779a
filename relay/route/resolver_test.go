package route

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestLookupNeverWaits(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		w.set("a.test", "mx.test", time.Hour)
		start := time.Now()
		if rt := r.Lookup("a.test"); rt != nil {
			t.Errorf("got %v out of nothing", rt)
		}
		r.Want("a.test")
		if time.Since(start) != 0 {
			t.Error("time passed")
		}
		pass(time.Second)
		if rt := r.Lookup("a.test"); rt == nil || rt.Site != "mx.test:25" {
			t.Errorf("got %+v", rt)
		}
		if n := w.count("a.test"); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestAwaitCallsOnce(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		w.set("a.test", "mx.test", time.Hour)
		var calls, nested atomic.Int32
		for range 100 {
			r.Await("a.test", func(rt *Route) {
				calls.Add(1)
				// A callback may use the resolver.
				r.Await("a.test", func(*Route) { nested.Add(1) })
				r.Want("b.test")
			})
		}
		if calls.Load() != 0 {
			t.Error("called before anything is known")
		}
		pass(time.Second)
		r.Await("a.test", func(*Route) { calls.Add(1) })
		if calls.Load() != 101 || nested.Load() != 100 || w.count("a.test") != 1 {
			t.Errorf("%d calls, %d nested, %d lookups", calls.Load(), nested.Load(), w.count("a.test"))
		}
	})
}

func TestRefreshAhead(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		w.set("a.test", "old.test", 100*time.Second)
		r.Want("a.test")
		pass(time.Second)
		w.set("a.test", "new.test", 100*time.Second)
		pass(78 * time.Second)
		if rt := r.Lookup("a.test"); rt.Site != "old.test:25" || w.count("a.test") != 1 {
			t.Errorf("refreshed too early: %v", rt)
		}
		pass(2 * time.Second) // the last fifth
		old := r.Lookup("a.test")
		if old.Site != "old.test:25" {
			t.Errorf("the old answer does not stay: %v", old)
		}
		pass(time.Second)
		now := r.Lookup("a.test")
		if now.Site != "new.test:25" || old.Site != "old.test:25" {
			t.Errorf("before %q, after the refresh %q", old.Site, now.Site)
		}
		// In use, the answer is never missing.
		for range 1000 {
			if r.Lookup("a.test") == nil {
				t.Fatal("missing")
			}
			pass(time.Second)
		}
		if n := w.count("a.test"); n > 2+1000/75 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestIdleNamesCostNothing(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		w.set("a.test", "mx.test", time.Hour)
		r.Want("a.test")
		pass(10 * time.Hour)
		if n := w.count("a.test"); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if rt := r.Lookup("a.test"); rt != nil {
			t.Errorf("%v outlives its TTL by hours", rt)
		}
	})
}

func TestNegativeTTL(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		w.put("null.test", answer{kind: found, null: true, ttl: 10 * time.Minute})
		r.Want("null.test")
		pass(9 * time.Minute)
		if rt := r.Lookup("null.test"); rt == nil || rt.Err.Enhanced != "5.1.10" {
			t.Errorf("after 9 minutes: %v", rt)
		}
		w.set("null.test", "mx.test", time.Hour)
		pass(2 * time.Minute)
		if rt := r.Lookup("null.test"); rt != nil {
			t.Errorf("after 11 minutes: %v", rt)
		}
		pass(time.Second)
		if rt := r.Lookup("null.test"); rt == nil || rt.Err != nil {
			t.Errorf("not looked up again: %v", rt)
		}
	})
}

func TestServesStaleInAnOutage(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		w.set("a.test", "mx.test", time.Minute)
		r.Want("a.test")
		pass(time.Second)
		w.fail(true)
		for minute := range 120 {
			rt := r.Lookup("a.test")
			if rt == nil || rt.Err != nil || rt.Site != "mx.test:25" {
				t.Fatalf("minute %d: %+v", minute, rt)
			}
			pass(30 * time.Second)
		}
		if rt := r.Lookup("a.test"); !rt.Stale || r.Status().Stale == 0 {
			t.Errorf("not marked stale: %+v", rt)
		}
		if n := w.count("a.test"); n < 10 || n > 40 {
			t.Errorf("asked %d times in an hour", n)
		}
		w.fail(false)
		w.set("a.test", "new.test", time.Hour)
		for range 20 {
			r.Lookup("a.test")
			pass(30 * time.Second)
		}
		if rt := r.Lookup("a.test"); rt.Stale || rt.Site != "new.test:25" {
			t.Errorf("after the outage: %+v", rt)
		}
		w.fail(true)
		pass(48 * time.Hour)
		r.Lookup("a.test")
		pass(10 * time.Second)
		if rt := r.Lookup("a.test"); rt == nil || rt.Err == nil {
			t.Errorf("two days old and still used: %+v", rt)
		}
	})
}

func TestOutageBouncesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var log bytes.Buffer
		r := assemble(Config{}.withDefaults(), Table{}, hclog.New(&hclog.LoggerOptions{Output: &log}), w)
		r.Run(t.Context())
		defer r.Stop()
		w.fail(true)
		for i := range 30 {
			r.Want(fmt.Sprintf("d%d.test", i))
		}
		pass(time.Minute)
		if s := r.Status(); s.Healthy || s.Failures != 30 || r.Healthy() {
			t.Errorf("in the outage: %+v", s)
		}
		// The server is back but lies for a while: it denies everything.
		w.fail(false)
		for range 10 {
			r.Await("d0.test", func(rt *Route) {
				if rt.Err.Permanent && !r.Healthy() {
					t.Errorf("bounced: %v", rt.Err)
				}
			})
			pass(time.Minute)
		}
		for i := range 60 {
			w.set(fmt.Sprintf("e%d.test", i), "mx.test", time.Hour)
			r.Want(fmt.Sprintf("e%d.test", i))
		}
		pass(time.Minute)
		if !r.Healthy() {
			t.Errorf("after the outage: %+v", r.Status())
		}
		if text := log.String(); !strings.Contains(text, "most DNS lookups fail") || !strings.Contains(text, "works again") {
			t.Errorf("log: %s", text)
		}
	})
}

func TestLookupOfAKnownNameDoesNotAllocate(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		w.set("a.test", "mx.test", time.Hour)
		r.Want("a.test")
		pass(time.Second)
		if n := testing.AllocsPerRun(100, func() { r.Lookup("a.test") }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestSlowNamesAreNotFailed(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		w.set("a.test", "mx.test", time.Hour)
		w.slow("a.test", time.Second) // more than Quick, less than Timeout
		var got []*Route
		start := time.Now()
		r.Await("a.test", func(rt *Route) { got = append(got, rt) })
		pass(10 * time.Second)
		if len(got) != 1 || got[0].Err != nil {
			t.Fatalf("got %v after %v", got, time.Since(start))
		}
		if s := r.Status(); s.Lookups != 1 || s.Failures != 0 || s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestDeadDomainsDoNotStarveOthers wants 20,000 dead names, then new ones.
func TestDeadDomainsDoNotStarveOthers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		const dead = 20_000
		w.set("known.test", "mx.test", 40*time.Second)
		r.Want("known.test")
		pass(time.Second)
		for i := range dead {
			name := fmt.Sprintf("dead%d.test", i)
			w.slow(name, never)
			r.Want(name)
		}
		// A known name is answered all the while, and refreshed.
		for range 60 {
			if rt := r.Lookup("known.test"); rt == nil || rt.Err != nil {
				t.Fatalf("known name: %+v; %+v", rt, r.Status())
			}
			pass(time.Second)
		}
		// The dead have had their quick look. What is new comes at once, although
		// thousands still wait.
		if r.Status().Waiting < dead/2 {
			t.Fatalf("only %d wait", r.Status().Waiting)
		}
		for i := range 100 {
			name := fmt.Sprintf("new%d.test", i)
			w.set(name, "mx.test", time.Hour)
			start, took := time.Now(), time.Duration(-1)
			r.Await(name, func(rt *Route) { took = time.Since(start) })
			pass(10 * time.Second)
			if took < 0 || took > 200*time.Millisecond {
				t.Fatalf("%s took %v", name, took)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	bubble(t, Config{Parallel: 4, Waiting: 10, Entries: 5}, func(t *testing.T, w *world, r *Resolver) {
		w.slow("", 400*time.Millisecond)
		var refused, called atomic.Int32
		for i := range 50 {
			name := fmt.Sprintf("d%d.test", i)
			w.set(name, "mx.test", time.Hour)
			r.Await(name, func(rt *Route) {
				called.Add(1)
				if rt.Err != nil && !rt.Err.Permanent && rt.Err.Enhanced == "4.3.2" {
					refused.Add(1)
				}
			})
		}
		if s := r.Status(); refused.Load() < 36 || s.Dropped < 36 || s.Waiting > 10 {
			t.Errorf("%d refused, %+v", refused.Load(), s)
		}
		pass(time.Minute)
		if s := r.Status(); called.Load() != 50 || s.Entries != 5 || w.peak() > 4+2 || s.InFlight != 0 {
			t.Errorf("%d called, %d questions at a time, %+v", called.Load(), w.peak(), s)
		}
	})
}

func TestWaitersAreBounded(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		var refused int
		for range maxWaiters + 10 {
			r.Await("a.test", func(rt *Route) {
				if rt.Err.Enhanced == "4.3.2" {
					refused++
				}
			})
		}
		if refused != 10 {
			t.Errorf("%d refused", refused)
		}
		pass(time.Second)
	})
}

func TestDenialsComeFromDifferentServers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		for range 2 {
			r.Want("gone.test")
			pass(time.Minute)
		}
		if got := fmt.Sprint(w.first["gone.test"]); got != "[0 1]" {
			t.Errorf("passed over %s servers", got)
		}
	})
}

func TestAddressesNeedNoLookupEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, err := ParseTable(map[string]string{"*": "[127.0.0.1]:2525"})
		if err != nil {
			t.Fatal(err)
		}
		r := assemble(Config{}.withDefaults(), table, hclog.NewNullLogger(), newWorld())
		for range 5 {
			if rt := r.Lookup("a.test"); rt == nil || !time.Now().Before(rt.Expires) {
				t.Fatalf("got %+v", rt)
			}
			time.Sleep(50 * time.Minute)
		}
		if s := r.Status(); s.Waiting != 0 || s.Entries != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestEvictsTheLeastUsed(t *testing.T) {
	bubble(t, Config{Entries: 3}, func(t *testing.T, w *world, r *Resolver) {
		for i := range 4 {
			name := fmt.Sprintf("d%d.test", i)
			w.set(name, "mx.test", time.Hour)
			r.Want(name)
			pass(time.Second)
			r.Lookup("d0.test")
		}
		for name, want := range map[string]bool{"d0.test": true, "d1.test": false, "d2.test": true, "d3.test": true} {
			r.mu.Lock()
			_, ok := r.cache.nodes[name]
			r.mu.Unlock()
			if ok != want {
				t.Errorf("%s in the cache: %v", name, ok)
			}
		}
	})
}

func TestStop(t *testing.T) {
	bubble(t, Config{Parallel: 4}, func(t *testing.T, w *world, r *Resolver) {
		w.set("known.test", "mx.test", time.Hour)
		r.Want("known.test")
		pass(time.Second)
		w.slow("", never)
		calls := map[string]int{}
		for i := range 20 { // some being looked up, some in each queue
			name := fmt.Sprintf("d%d.test", i)
			r.Await(name, func(rt *Route) {
				calls[name]++
				if rt.Err == nil || rt.Err.Permanent {
					t.Errorf("%s: %+v", name, rt)
				}
			})
		}
		pass(700 * time.Millisecond)
		r.Stop()
		for i := range 20 {
			if name := fmt.Sprintf("d%d.test", i); calls[name] != 1 {
				t.Errorf("%s called %d times", name, calls[name])
			}
		}
		if rt := r.Lookup("known.test"); rt == nil {
			t.Error("the cache is gone")
		}
		if s := r.Status(); s.Lookups != 1 || s.Failures != 0 || s.InFlight != 0 {
			t.Errorf("the end is taken for an outage: %+v", s)
		}
		called := false
		r.Await("late.test", func(rt *Route) { called = rt.Err != nil && !rt.Err.Permanent })
		r.Want("late.test")
		if !called || r.Lookup("late.test") != nil || r.Status().Waiting != 0 {
			t.Errorf("after Stop: %v, %+v", called, r.Status())
		}
		r.Stop() // again
		r.Run(t.Context())
	})
}

func TestEndOfContextEndsWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.slow("", never)
		r := assemble(Config{}.withDefaults(), Table{}, hclog.NewNullLogger(), w)
		ctx, cancel := context.WithCancel(t.Context())
		r.Run(ctx)
		calls := 0
		r.Await("a.test", func(*Route) { calls++ })
		pass(time.Second)
		cancel()
		r.wg.Wait() // ends without Stop
		r.Stop()
		if calls != 1 {
			t.Errorf("called %d times", calls)
		}
	})
}

func TestAwaitBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set("a.test", "mx.test", time.Hour)
		r := assemble(Config{}.withDefaults(), Table{}, hclog.NewNullLogger(), w)
		var got *Route
		r.Await("a.test", func(rt *Route) { got = rt })
		pass(time.Minute)
		r.Run(t.Context())
		defer r.Stop()
		pass(time.Second)
		if got == nil || got.Err != nil {
			t.Errorf("got %+v", got)
		}
	})
}

// TestManyCallers mixes everything from many goroutines; every callback must
// come once. It is worth most with the race detector.
func TestManyCallers(t *testing.T) {
	bubble(t, Config{Parallel: 8, Entries: 40, Waiting: 30, MinTTL: time.Second}, func(t *testing.T, w *world, r *Resolver) {
		for i := range 60 {
			w.set(fmt.Sprintf("d%d.test", i), "mx.test", time.Duration(i)*time.Second)
			w.slow(fmt.Sprintf("d%d.test", i), time.Duration(i%10)*100*time.Millisecond)
		}
		var asked, called atomic.Int64
		done := make(chan struct{})
		for g := range 16 {
			go func() {
				defer func() { done <- struct{}{} }()
				rnd := rand.New(rand.NewPCG(uint64(g), 1))
				for range 200 {
					name := fmt.Sprintf("d%d.test", rnd.IntN(100)) // some do not exist
					switch rnd.IntN(3) {
					case 0:
						r.Want(name)
					case 1:
						r.Lookup(name)
					case 2:
						asked.Add(1)
						r.Await(name, func(rt *Route) { called.Add(1) })
					}
					time.Sleep(time.Duration(rnd.IntN(500)) * time.Millisecond)
				}
			}()
		}
		for range 16 {
			<-done
		}
		pass(time.Hour)
		if s := r.Status(); asked.Load() != called.Load() || s.InFlight != 0 || s.Waiting != 0 || s.Entries > 40 {
			t.Errorf("asked %d, called %d, %+v", asked.Load(), called.Load(), s)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, win := range r.windows {
			if win.asked != 0 || win.leaving != 0 || len(win.line) != 0 || win.ripe.Len() != 0 {
				t.Errorf("window is not empty: %+v", win)
			}
		}
		if len(r.jobs) != 0 {
			t.Errorf("%d jobs left", len(r.jobs))
		}
	})
}
