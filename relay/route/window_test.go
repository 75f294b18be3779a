package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/test/dns"
)

// soonest is how long a living name may take, whatever stands before it.
const soonest = time.Second

// TestLivingNameBehindDeadOnes wants names whose servers are silent, and behind
// them one that lives.
func TestLivingNameBehindDeadOnes(t *testing.T) {
	for _, dead := range []int{0, 1000, 10_000} {
		t.Run(fmt.Sprint(dead), func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
				for i := range dead {
					name := fmt.Sprintf("dead%d.test", i)
					w.slow(name, never)
					r.Want(name)
				}
				w.set("good.test", "mx.test", time.Hour)
				took := findOne(t, r, "good.test")
				t.Logf("known after %v; at most %d questions at a time", took, w.peak())
				if took > soonest {
					t.Errorf("took %v", took)
				}
				if n := r.searcher.rules.Load().Parallel; w.peak() > n+n/slowShare {
					t.Errorf("%d questions at a time, more than %d", w.peak(), n+n/slowShare)
				}
			})
		})
	}
}

// findOne is how long it takes until a name has a Route.
func findOne(t *testing.T, r *Resolver, name string) time.Duration {
	t.Helper()
	start := time.Now()
	known := make(chan *Route)
	r.Await(name, func(rt *Route) { known <- rt })
	select {
	case rt := <-known:
		if rt.Err != nil {
			t.Errorf("%s: %v", name, rt.Err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("%s: no route", name)
	}
	return time.Since(start)
}

// TestSlowNameAmongDeadOnes: a name that needs longer than the least patience
// gets it as soon as the others have had their look.
func TestSlowNameAmongDeadOnes(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		for i := range 10_000 {
			name := fmt.Sprintf("dead%d.test", i)
			w.slow(name, never)
			r.Want(name)
		}
		w.set("slow.test", "mx.test", time.Hour)
		w.slow("slow.test", 300*time.Millisecond)
		if took := findOne(t, r, "slow.test"); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestLostQuestionsAmongDeadOnes: a living name whose first questions were lost
// stands among the slow, and must not wait until each dead one there has had its
// seconds.
func TestLostQuestionsAmongDeadOnes(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, w *world, r *Resolver) {
		for i := range 10_000 {
			name := fmt.Sprintf("dead%d.test", i)
			w.slow(name, never)
			r.Want(name)
		}
		w.set("lost.test", "mx.test", time.Hour)
		w.slow("lost.test", never)
		r.Want("lost.test")
		pass(5 * time.Second) // every quick look is over
		w.slow("lost.test", 10*time.Millisecond)
		took := findOne(t, r, "lost.test")
		t.Logf("known after another %v", took)
		if took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestSilentHostsStepAside: the mail hosts have many names each, and none of
// their name servers answers.
func TestSilentHostsStepAside(t *testing.T) {
	bubble(t, Config{Parallel: 400}, func(t *testing.T, w *world, r *Resolver) {
		for i := range 1000 {
			var mx []mxRecord
			for j := range MaxHosts {
				host := fmt.Sprintf("mx%d.d%d.test", j, i)
				w.slow(host, never)
				mx = append(mx, mxRecord{host: host})
			}
			name := fmt.Sprintf("d%d.test", i)
			w.put(name, answer{kind: found, mx: mx, ttl: time.Hour})
			r.Want(name)
		}
		w.set("good.test", "mx.test", time.Hour)
		took := findOne(t, r, "good.test")
		if most := 400 + 400/slowShare; took > 20*time.Second || w.peak() > most {
			t.Errorf("took %v, %d questions at a time", took, w.peak())
		}
	})
}

// TestLivingNameBehindDeadOnesForReal does the same through sockets. It logs the
// figures; the bound is for a machine on which the name server and many others
// want the processor too, and is still far below what a wait for each dead name
// would cost.
func TestLivingNameBehindDeadOnesForReal(t *testing.T) {
	const busy = 5 * soonest
	for _, dead := range []int{0, 1000, 10_000} {
		t.Run(fmt.Sprint(dead), func(t *testing.T) {
			s := dns.Start(t, "good.test. MX 10 mx.good.test.\nmx.good.test. A 192.0.2.1\n")
			s.Fault("*.dead.test.", dns.Fault{Kind: dns.Timeout})
			r := startResolver(t, Config{Servers: []string{s.Addr()}}, nil)
			for i := range dead {
				r.Want(fmt.Sprintf("d%d.dead.test", i))
			}
			took := findOne(t, r, "good.test")
			asked, _ := s.Total()
			t.Logf("known after %v; the server has read %d questions", took, asked)
			if took > busy {
				t.Errorf("took %v", took)
			}
			r.Stop()
			if ports := r.ex.(*client).list.Load().servers[0].ports; len(ports) != 0 {
				t.Errorf("%d sockets left", len(ports))
			}
		})
	}
}
