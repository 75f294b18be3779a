package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// tenantOf is a tenant of the heart.
func (x *heart) tenantOf(name string) *Tenant {
	x.flows.mu.Lock()
	defer x.flows.mu.Unlock()
	return x.flows.tenants[name]
}

// busyNow is its transactions under way.
func (t *Tenant) busyNow() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.busy
}

// TestConnectionsOfATenant: a tenant has no more transactions at a time than it may have, the mail of others goes on, and everybody
// can see why its mail waits.
func TestConnectionsOfATenant(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	x.SetTenants([]TenantConfig{{Name: "gold", Connections: 2}})
	x.offer(t, 5, FlowName{Tenant: "gold"}, "a@x")
	x.offer(t, 3, FlowName{Name: "other"}, "a@x")
	l, now := x.NewLine(), time.Now()
	x.gather(l)
	var gold, all []*Visit
	for v := x.h.Serve(l, now); v != nil; v = x.h.Serve(l, now) {
		all = append(all, v)
		if v.Node.Message.Flow().Tenant == "gold" {
			gold = append(gold, v)
		}
	}
	if len(gold) != 2 || len(all) != 5 {
		t.Fatalf("%d visits, %d of the tenant", len(all), len(gold))
	}
	if why := l.Holds(); why.Kind != ReasonTenant || why.Who != "gold" || why.Text != "tenant gold has its 2 connections" {
		t.Errorf("held for %+v", why)
	}
	if !l.Opens(now).After(now) || l.Len() != 1 || l.AtLeast(1) {
		t.Errorf("opens at %s, %d queues in line, one may go: %t", l.Opens(now), l.Len(), l.AtLeast(1))
	}
	l.Explain(WaitFor(ReasonConnection, "x", "waiting for a connection to the site", time.Time{}))
	if qs := x.Queues(0); qs[0].Kind != ReasonTenant || !strings.Contains(qs[0].Reason, "2 connections") {
		t.Errorf("listed %+v", qs)
	}
	elsewhere := x.NewLine() // of a site that nobody has served yet
	x.offer(t, 1, FlowName{Tenant: "gold"}, "a@y")
	x.gather(elsewhere)
	if elsewhere.AtLeast(1) {
		t.Error("nodes that may not go are counted")
	}
	if q := elsewhere.PickOpen(); q != nil || elsewhere.Len() != 1 || elsewhere.Pick() == nil {
		t.Errorf("picked %v at another site, %d queues in line", q, elsewhere.Len())
	}
	x.settle(gold[0])
	if !l.AtLeast(3) {
		t.Error("nodes that may go again are not counted")
	}
	v := x.h.Serve(l, now)
	if v == nil || x.h.Serve(l, now) != nil {
		t.Fatal("one transaction has ended: one more may begin")
	}
	x.SetTenants(nil)
	if v := x.h.Serve(l, now); v == nil || l.Opens(now) != (time.Time{}) || l.Holds().Waits() {
		t.Error("a limit that is gone still holds mail back")
	}
}

// TestRateOfATenant: a tenant has the messages that its rate gives, not more in any time and, when it is asked often, not less.
func TestRateOfATenant(t *testing.T) {
	for _, rate := range []float64{0.5, 7, 50, 999} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
				x.SetTenants([]TenantConfig{{Name: "gold", Rate: TenantRate(rate)}})
				const seconds = 8
				x.offer(t, int(rate*(seconds+1))+10, FlowName{Tenant: "gold"}, "a@x")
				l := x.NewLine()
				x.gather(l)
				var times []time.Duration
				for begin := time.Now(); time.Since(begin) < seconds*time.Second; {
					for v := x.h.Serve(l, time.Now()); v != nil; v = x.h.Serve(l, time.Now()) {
						times = append(times, time.Since(begin))
						x.settle(v)
					}
					if why := l.Holds(); why.Kind != ReasonTenant || !strings.HasSuffix(why.Text, "its rate of "+TenantRate(rate).String()) || !why.Until.Equal(l.Opens(time.Now())) {
						t.Fatalf("held for %+v, opens at %s", why, l.Opens(time.Now()))
					}
					time.Sleep(time.Until(l.Opens(time.Now())))
				}
				if n := float64(len(times)); n < rate*seconds*0.98-1 {
					t.Errorf("%g messages in %d s", n, seconds)
				}
				for i := range times {
					for j := i; j < len(times); j++ {
						if most := rate*(times[j]-times[i]+rateSlack).Seconds() + 1.001; float64(j-i+1) > most {
							t.Fatalf("%d messages in %s", j-i+1, times[j]-times[i])
						}
					}
				}
			})
		})
	}
}

// TestLowRateIsRaised: after a rate of one a day, a better one counts at once.
func TestLowRateIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
		x.SetTenants([]TenantConfig{{Name: "gold", Rate: minRate}})
		x.offer(t, 3, FlowName{Tenant: "gold"}, "a@x")
		l := x.NewLine()
		x.gather(l)
		x.served(t, l, 1)
		if x.h.Serve(l, time.Now()) != nil {
			t.Fatal("the rate does not hold")
		}
		x.SetTenants([]TenantConfig{{Name: "gold", Rate: 10}})
		time.Sleep(100 * time.Millisecond)
		x.served(t, l, 1)
	})
}

// TestNoSiteStarves: a site that asks for a tenant's next connection four times a second has its part beside one that asks whenever a
// transaction has ended; and one that has stopped asking does not keep the others from theirs.
func TestNoSiteStarves(t *testing.T) {
	serve := func(x *heart, l *Line) *Visit { return x.h.Serve(l, time.Now()) }
	anew := func(x *heart, l *Line) *Visit { // as a site without agents: the queue waits for a channel first
		q := l.PickOpen()
		if q == nil {
			return nil
		}
		x.h.Ready(q)
		time.Sleep(5 * time.Millisecond)
		x.gather(l)
		return x.h.Serve(l, time.Now())
	}
	cases := []struct {
		name string
		cfg  TenantConfig
		ask  func(*heart, *Line) *Visit
	}{
		{"connections", TenantConfig{Name: "gold", Connections: 3}, serve},
		{"rate", TenantConfig{Name: "gold", Rate: 100}, serve},
		{"connections, by way of the handler", TenantConfig{Name: "gold", Connections: 3}, anew},
		{"rate, by way of the handler", TenantConfig{Name: "gold", Rate: 100}, anew},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
				x.SetTenants([]TenantConfig{c.cfg})
				busy, seldom := x.NewLine(), x.NewLine()
				x.offer(t, 20_000, FlowName{Tenant: "gold"}, "a@busy")
				x.gather(busy)
				x.offer(t, 1_000, FlowName{Tenant: "gold"}, "a@seldom")
				x.gather(seldom)
				var sent atomic.Int64
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var agents sync.WaitGroup
				for range 5 {
					agents.Go(func() { // ends with ctx
						for ctx.Err() == nil {
							if v := x.h.Serve(busy, time.Now()); v != nil {
								time.Sleep(20 * time.Millisecond)
								x.settle(v)
								sent.Add(1)
							} else {
								time.Sleep(time.Millisecond)
							}
						}
					})
				}
				had := 0
				for range 4 * 30 {
					time.Sleep(250 * time.Millisecond)
					if v := c.ask(x, seldom); v != nil {
						had++
						x.settle(v)
					}
				}
				if had < 10 {
					t.Errorf("it had %d turns in 30 s", had)
				}
				time.Sleep(5 * time.Second) // it waits, and has stopped asking
				before := sent.Load()
				time.Sleep(10 * time.Second)
				rate := float64(sent.Load()-before) / 10
				if want := min(100, 3/0.020); rate < 0.9*want {
					t.Errorf("the other sends %g/s, want %g", rate, want)
				}
				cancel()
				agents.Wait()
			})
		})
	}
}

// TestTransactionsAreCountedOut: whatever a visit brings, and whoever made it, its transaction is counted out again.
func TestTransactionsAreCountedOut(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			x := newHeart(t, retryEvery(10*time.Minute, 40*time.Minute), HandbackConfig{})
			r := rand.New(rand.NewPCG(seed, 9))
			tenants := []TenantConfig{{Name: "gold", Connections: 3, Weight: 3}, {Name: "silver", Rate: 5}, {Name: "tin"}}
			x.SetTenants(tenants)
			ctx, cancel := context.WithCancel(t.Context())
			var done sync.WaitGroup
			done.Go(func() { x.h.Run(ctx) })
			l := x.NewLine()
			var open []*Visit
			peak := 0
			for range 3000 {
				if r.IntN(5) == 0 {
					f := FlowName{Tenant: []string{"gold", "silver", "tin", ""}[r.IntN(4)], Name: fmt.Sprint(r.IntN(3)), Urgent: r.IntN(9) == 0}
					if err := x.Accept(flowMessage(f, "a@x", fmt.Sprintf("b@y%d", r.IntN(5)))); err != nil {
						t.Fatal(err)
					}
				}
				if r.IntN(50) == 0 {
					x.SetTenants(tenants[r.IntN(2):])
				}
				x.gather(l)
				if v := x.randomVisit(r, l); v != nil {
					open = append(open, v...)
				}
				peak = max(peak, x.tenantOf("silver").busyNow())
				for len(open) > 0 && r.IntN(2) == 0 {
					i := r.IntN(len(open))
					x.endAtRandom(r, open[i])
					open = append(open[:i], open[i+1:]...)
				}
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			}
			for _, v := range open {
				x.endAtRandom(r, v)
			}
			for _, name := range []string{"silver", "tin"} {
				if n := x.tenantOf(name).busyNow(); n != 0 || peak == 0 {
					t.Errorf("seed %d: tenant %s has %d transactions under way, at most %d before", seed, name, n, peak)
				}
			}
			if g := x.tenantOf("gold"); g != nil && g.busyNow() != 0 {
				t.Errorf("seed %d: tenant gold has %d transactions under way", seed, g.busyNow())
			}
			for x.h.Status().Messages > 0 { // nothing was lost on the way
				x.gather(l)
				for v := x.h.Serve(l, time.Now()); v != nil; v = x.h.Serve(l, time.Now()) {
					x.settle(v)
				}
				time.Sleep(time.Second)
			}
			if s := x.h.Status(); s.Bytes != 0 || s.Queues != 0 || len(x.flows.byName) != 0 {
				t.Errorf("seed %d: left behind %+v, %d flows", seed, s, len(x.flows.byName))
			}
			cancel()
			done.Wait()
		})
	}
}

// randomVisit makes visits as an agent does, or takes a node as whoever refuses mail does.
func (x *heart) randomVisit(r *rand.Rand, l *Line) []*Visit {
	v := x.h.Serve(l, time.Now())
	if r.IntN(8) == 0 {
		if q := l.Pick(); q != nil {
			x.h.Ready(q)
			if v == nil {
				v = x.h.Visit(q)
			}
		}
	}
	switch {
	case v == nil:
		return nil
	case r.IntN(4) == 0:
		return []*Visit{v} // never begun
	}
	visits, err := x.h.Begin(nil, v, 100, func(Key) bool { return r.IntN(2) == 0 })
	if err != nil {
		panic(err)
	}
	return visits
}

// endAtRandom settles v with one of the ends that a visit may have.
func (x *heart) endAtRandom(r *rand.Rand, v *Visit) {
	switch r.IntN(8) {
	case 0:
		v.PutBack()
	case 1:
		v.Broken(smtp.Reply{Code: 451})
	case 2:
		v.FailAll(Again, smtp.Reply{Code: 421})
	case 3:
		v.FailAll(Deferred, smtp.Reply{Code: 451})
	case 4:
		v.FailAll(Bounced, smtp.Reply{Code: 550})
	case 5:
		if v.Node.Class() == ClassRemote {
			v.HandBack(smtp.Reply{Code: 451})
			break
		}
		fallthrough
	default:
		v.FailAll(Sent, smtp.Reply{Code: 250})
	}
	x.h.Settle(v)
}

// TestPutBackIsNoMessage: a visit that never was does not use the tenant's rate up.
func TestPutBackIsNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
		x.SetTenants([]TenantConfig{{Name: "gold", Rate: 1}})
		x.offer(t, 1, FlowName{Tenant: "gold"}, "a@x")
		l := x.NewLine()
		for i := range 50 {
			x.gather(l)
			v := x.h.Serve(l, time.Now())
			if v == nil {
				t.Fatalf("after %d put back: %s", i, l.Holds().Text)
			}
			v.PutBack()
			x.h.Settle(v)
		}
	})
}

// TestAgentsServeALine has several agents serve one line while mail comes: every node is visited once, and no limit is exceeded.
func TestAgentsServeALine(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	const doors, each, limit = 2, 1500, 2
	x.SetTenants([]TenantConfig{{Name: "gold", Connections: limit}})
	l := x.NewLine()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var agents, givers sync.WaitGroup
	var gold, sent atomic.Int64
	for range 4 {
		agents.Go(func() { // ends with ctx
			for ctx.Err() == nil {
				x.gather(l)
				v := x.h.Serve(l, time.Now())
				if v == nil {
					continue
				}
				if v.Node.Message.Flow().Tenant == "gold" {
					if n := gold.Add(1); n > limit {
						cancel(fmt.Errorf("%d transactions of the tenant", n))
					}
					gold.Add(-1)
				}
				x.settle(v)
				if sent.Add(1) == doors*each*2 {
					cancel(nil)
				}
			}
		})
	}
	for g := range doors {
		givers.Go(func() {
			for i := range each {
				m := &Message{ID: ID(1 + g*each + i), Content: NewContent(Letter{Body: []byte("x")}), Slip: &Slip{Arrived: time.Now()}}
				m.Slip.Rcpts = []Rcpt{{Addr: "a@x"}, {Addr: fmt.Sprintf("a@y%d", i%5)}}
				m.Slip.Flow = FlowName{Tenant: []string{"gold", ""}[i%2], Name: fmt.Sprint(i % 3), Urgent: i%11 == 0}
				if err := x.Accept(m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	givers.Wait()
	agents.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := x.h.Status(); s.Sent != doors*each*2 || s.Queues != 0 || s.Messages != 0 || s.Bytes != 0 || l.Len() != 0 {
		t.Errorf("%d queues in line, %+v", l.Len(), s)
	}
	if n := x.tenantOf("gold").busyNow(); n != 0 {
		t.Errorf("%d transactions under way", n)
	}
}

func TestTenantConfig(t *testing.T) {
	cases := []struct {
		cfg  TenantConfig
		want string // the key that the error names; "" for none
	}{
		{TenantConfig{Name: "gold"}, ""},
		{TenantConfig{Name: "gold", Weight: maxWeight, Connections: 5, Rate: 0.1}, ""},
		{TenantConfig{}, "name"},
		{TenantConfig{Name: "gold", Weight: -1}, "weight"},
		{TenantConfig{Name: "gold", Weight: maxWeight + 1}, "weight"},
		{TenantConfig{Name: "gold", Connections: -1}, "connections"},
		{TenantConfig{Name: "gold", Rate: -1}, "rate"},
		{TenantConfig{Name: "gold", Rate: 1e-9}, "rate"},
		{TenantConfig{Name: "gold", Rate: 1e9}, "rate"},
	}
	for _, c := range cases {
		switch err := c.cfg.Validate(); {
		case c.want == "" && err != nil:
			t.Errorf("%+v: %v", c.cfg, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want+": ")):
			t.Errorf("%+v: %v, want an error about %s", c.cfg, err, c.want)
		}
	}
}

// TestTwoAgentsOneNode: two agents are served the same queue, which has one node. The one that comes too late has counted nothing.
func TestTwoAgentsOneNode(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	x.SetTenants([]TenantConfig{{Name: "gold", Rate: maxRate}})
	x.offer(t, 1, FlowName{Tenant: "gold"}, "a@x")
	l, gold := x.NewLine(), x.tenantOf("gold")
	x.gather(l)
	var agents sync.WaitGroup
	var visits atomic.Int64
	x.shard("x").mu.Lock() // nobody gets at the node
	for range 2 {
		agents.Go(func() {
			if x.h.Serve(l, time.Now()) != nil {
				visits.Add(1)
			}
		})
	}
	for gold.busyNow() < 2 {
		time.Sleep(time.Millisecond)
	}
	x.shard("x").mu.Unlock()
	agents.Wait()
	if visits.Load() != 1 || gold.busyNow() != 1 || l.Len() != 0 {
		t.Errorf("%d visits, %d transactions under way, %d queues in line", visits.Load(), gold.busyNow(), l.Len())
	}
}

// TestNoTurnsAreSavedUp: a tenant that could not go for a while has its share from then on, and not what it has missed.
func TestNoTurnsAreSavedUp(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	x.SetTenants([]TenantConfig{{Name: "gold", Rate: minRate}})
	gold, other := FlowName{Tenant: "gold"}, FlowName{Name: "other"}
	x.offer(t, 300, gold, "a@x")
	x.offer(t, 700, other, "a@x")
	l := x.NewLine()
	x.gather(l)
	x.served(t, l, 500)
	x.SetTenants(nil)
	if got := x.served(t, l, 100); got[gold] < 49 || got[gold] > 51 {
		t.Errorf("it had %d of 100 turns", got[gold])
	}
}
