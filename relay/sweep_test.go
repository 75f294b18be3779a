package relay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestSweepLooksAtOldNodesOnly: what one hold of a shard's lock costs does not depend on how many nodes wait there, nor on how many
// of them are old.
func TestSweepLooksAtOldNodesOnly(t *testing.T) {
	const old, young = 2*mostAtOnce + 10, 5000
	for name, tt := range map[string]struct {
		lifetime time.Duration
		handback HandbackConfig
		want     string
		looks    []int
	}{
		"expire":    {lifetime: 2 * time.Hour, want: "expired", looks: []int{mostAtOnce, mostAtOnce, 10, 0}},
		"hand back": {lifetime: 5 * time.Hour, handback: HandbackConfig{After: time.Hour}, want: "deferred node x visits=0 class=\"inject\"", looks: []int{mostAtOnce, mostAtOnce, 10, 0}},
		// Nothing is known of the receiver, so they wait on: they are not looked at again at once.
		"wait on": {lifetime: 2 * time.Hour, looks: []int{mostAtOnce, mostAtOnce, 10, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newHeart(t, retryEvery(time.Minute, tt.lifetime), tt.handback)
				for range old {
					x.accept(t, "old@x")
				}
				time.Sleep(4 * time.Hour)
				for range young {
					x.accept(t, "young@x")
				}
				q := x.line.Pick()
				site := NewLine(RoundRobin, 0)
				site.Push(q)
				if tt.want == "expired" {
					site.Explain(WaitFor(ReasonSite, "x", "dead", time.Now().Add(time.Hour)))
					site.NoteFailure(time.Now().Add(-time.Hour))
				}
				for _, want := range tt.looks {
					if got := x.h.sweepSome(x.shard("x"), time.Now(), true); got != want {
						t.Errorf("%d nodes looked at under one lock, want %d", got, want)
					}
				}
				n := x.rec.count("expired old@x") + x.rec.count(tt.want)
				if want := old; tt.want == "" && n != 0 || tt.want != "" && n != want {
					t.Errorf("%d of %d are gone", n, want)
				}
				if tt.want == "" {
					time.Sleep(x.h.sweepPeriod())
					if got := x.h.sweepSome(x.shard("x"), time.Now(), true); got != mostAtOnce {
						t.Errorf("%d nodes looked at again by the next sweep", got)
					}
				}
			})
		})
	}
}

func (x *heart) accept(t testing.TB, rcpt string) {
	t.Helper()
	if err := x.Accept(testMessage(rcpt)); err != nil {
		t.Fatal(err)
	}
}

// TestAges: whatever comes and goes, the oldest are found first and only when they are old enough.
func TestAges(t *testing.T) {
	epoch := time.Now()
	a := newAges(epoch)
	in := make(map[*Node]int) // second
	for range 5000 {
		if s := rand.IntN(200) - 100; rand.IntN(2) == 0 {
			n := &Node{}
			a.add(n, epoch.Add(time.Duration(s)*time.Second+time.Duration(rand.IntN(1e9))))
			in[n] = s
			continue
		}
		at := rand.IntN(200) - 100
		least := at
		for _, s := range in {
			least = min(least, s)
		}
		n := a.oldest(epoch.Add(time.Duration(at) * time.Second))
		if n == nil {
			if least < at {
				t.Fatalf("nobody is older than %d, but one is of %d", at, least)
			}
			continue
		}
		if s, ok := in[n]; !ok || s != least || s >= at {
			t.Fatalf("got one of %d (%t), want one of %d, before %d", s, ok, least, at)
		}
		a.drop(n)
		delete(in, n)
	}
	for n := range in {
		a.drop(n)
	}
	if len(a.bySecond) != 0 || a.order.Len() != 0 {
		t.Error("something is left")
	}
}

// BenchmarkSweep looks at a domain in which a million nodes wait, young or beyond the end of their life, and shows how
// long the shard's lock is held.
func BenchmarkSweep(b *testing.B) {
	const nodes = 1_000_000
	for _, tt := range []struct {
		name string
		age  time.Duration
	}{{"young", time.Minute}, {"old", 3 * time.Hour}} {
		b.Run(fmt.Sprintf("%s-%d", tt.name, nodes), func(b *testing.B) {
			x := newHeart(b, retryEvery(time.Minute, 2*time.Hour), HandbackConfig{})
			s := x.shard("x")
			msg := &Message{Slip: &Slip{Arrived: time.Now()}}
			for range nodes {
				x.link(&Node{Message: msg, Domain: "x", heapIndex: -1})
			}
			now := time.Now().Add(tt.age)
			var holds []time.Duration
			for b.Loop() {
				for n := mostAtOnce; n == mostAtOnce; {
					begin := time.Now()
					n = x.h.sweepSome(s, now, true)
					holds = append(holds, time.Since(begin))
				}
				now = now.Add(2 * time.Minute)
			}
			slices.Sort(holds)
			b.ReportMetric(float64(holds[len(holds)-1].Microseconds()), "longest-µs")
			b.ReportMetric(float64(holds[len(holds)*999/1000].Microseconds()), "p999-µs")
		})
	}
}
