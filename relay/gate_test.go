package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// gatehouse is a gate with a heart behind it, and what the gate has told.
type gatehouse struct {
	*QueueMap
	t     *testing.T
	g     *Gate
	h     *Handler
	steps []string
}

func newGatehouse(t *testing.T, most int, change func(*GateConfig, *GateDeps)) *gatehouse {
	x := &gatehouse{t: t}
	cfg, deps := DefaultGateConfig(), GateDeps{Changed: func(c GateChange) {
		x.steps = append(x.steps, strings.TrimSpace(fmt.Sprintf("%s %s: %s", c.Of, c.Name, c.To)))
	}}
	if change != nil {
		change(&cfg, &deps)
	}
	queue := DefaultQueueConfig()
	queue.MaxMessages = most
	x.g = NewGate(cfg, deps)
	x.QueueMap = NewQueueMap(queue, Deps{Journal: NoJournal{}, Gate: x.g})
	x.Open()
	x.h = NewHandler(x.QueueMap, retryEvery(time.Hour, 48*time.Hour), HandbackConfig{})
	return x
}

// offer offers a message as a door does, and reports whether it was taken for all of its recipients. The others stay with the MTA.
func (x *gatehouse) offer(tenant string, rcpts ...string) bool {
	x.t.Helper()
	var domains, kept []string
	for _, r := range rcpts {
		domains = append(domains, Domain(r))
	}
	grant := x.g.Ask(tenant, domains)
	for i, r := range rcpts {
		if !grant.Refuses(i) {
			kept = append(kept, r)
		}
	}
	if len(kept) < len(rcpts) {
		grant.Overflow()
	}
	if len(kept) > 0 {
		msg := testMessage(kept...)
		msg.Slip.Flow.Tenant, msg.Slip.Grant = tenant, grant
		if err := x.Accept(msg); err != nil {
			x.t.Fatal(err)
		}
	}
	grant.Release()
	return len(kept) == len(rcpts)
}

// offers offers so many messages to a domain, and says how many were taken.
func (x *gatehouse) offers(n int, domain string) (taken int) {
	x.t.Helper()
	for range n {
		if x.offer("", "a@"+domain) {
			taken++
		}
	}
	return taken
}

// visit settles so many nodes of a domain, and says how many there were.
func (x *gatehouse) visit(n int, domain string, o Outcome) (visited int) {
	for range n {
		v := x.next(domain)
		if v == nil {
			break
		}
		v.FailAll(o, smtp.Reply{Code: 450, Lines: []string{"scripted"}})
		x.h.Settle(v)
		visited++
	}
	return visited
}

func (x *gatehouse) next(domain string) *Visit {
	s := x.shard(domain)
	s.mu.Lock()
	var queues []*Queue
	for k, p := range s.spots {
		for q := p.youngest; q != nil; q = q.older {
			if k.domain == domain && q.Class == ClassRemote {
				queues = append(queues, q)
			}
		}
	}
	s.mu.Unlock()
	for _, q := range queues {
		if v := x.h.Visit(q); v != nil {
			return v
		}
	}
	return nil
}

func (x *gatehouse) state() GateState { return x.g.Status().State }

// TestGateWalksItsStates: replies wait from 15/16 of the room on, mail is left when it was in vain, and the gate opens at 7/8.
func TestGateWalksItsStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGatehouse(t, 160, nil)
		x.offers(16, "quick.example")
		time.Sleep(time.Second)
		x.visit(16, "quick.example", Sent) // it takes mail, so that the room is its own
		time.Sleep(30 * time.Second)
		if n := x.offers(200, "quick.example"); n != 150 {
			t.Errorf("%d messages were taken; 15/16 of 160 are 150", n)
		}
		if s := x.g.Status(); s.State != GateOverflow || s.Left != 50 || s.Reason != "94 % of queue.max_messages is used" {
			t.Errorf("%+v", s)
		}
		opened := x.g.Opened()
		x.visit(9, "quick.example", Sent)
		select {
		case <-opened:
			t.Error("it opened above 7/8")
		default:
		}
		x.visit(1, "quick.example", Sent)
		select {
		case <-opened:
		default:
			t.Error("nobody was told that it has opened")
		}
		if got, want := x.steps, []string{"all mail : hold", "all mail : overflow", "all mail : open"}; !slices.Equal(got, want) {
			t.Errorf("steps %q, want %q", got, want)
		}
	})
}

func TestGateOfTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGatehouse(t, 1000, nil)
		x.SetTenants([]TenantConfig{{Name: "acme", MaxMessages: 10}})
		taken := 0
		for i := range 30 {
			if x.offer("acme", fmt.Sprintf("a@d%d.example", i)) {
				taken++
			}
		}
		if taken != 10 {
			t.Errorf("%d messages of a tenant with room for 10 were taken", taken)
		}
		if !x.offer("", "a@other.example") || !x.offer("other", "a@other.example") {
			t.Error("another's mail was left")
		}
		if s := x.g.Status(); s.LeftTenants != 20 || len(s.Shut) != 1 || s.Shut[0].Tenant != "acme" || s.State != GateOpen {
			t.Errorf("%+v", s)
		}
		x.visit(1, "d0.example", Sent)
		x.visit(1, "d1.example", Sent)
		if !x.offer("acme", "a@d0.example") {
			t.Error("below nine tenths the tenant has room again")
		}
		x.SetTenants([]TenantConfig{{Name: "acme"}, {Name: "later"}})
		x.offer("later", "a@d1.example")
		x.SetTenants([]TenantConfig{{Name: "acme"}, {Name: "later", MaxMessages: 1}})
		if x.offer("later", "a@d1.example") {
			t.Error("mail from before a tenant had a limit does not count")
		}
		x.SetTenants(nil)
		if !x.offer("acme", "a@d0.example") {
			t.Error("a tenant that is not named has a limit")
		}
	})
}

// slowJournal is a Journal whose Take waits.
type slowJournal struct {
	NoJournal
	release chan error
}

func (j slowJournal) Take(*Message) error { return <-j.release }

// TestIntakeBehind: the source design's pause, at a backlog of so many messages, or of so much work.
func TestIntakeBehind(t *testing.T) {
	for _, limit := range []struct {
		name string
		cfg  GateConfig
		wait time.Duration
	}{
		{"messages", GateConfig{MaxIntake: 4, MaxIntakeDelay: time.Hour}, 0},
		{"time", GateConfig{MaxIntake: 1000, MaxIntakeDelay: 3 * time.Second}, 3 * time.Second},
	} {
		t.Run(limit.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewGate(limit.cfg, GateDeps{})
				journal := slowJournal{release: make(chan error)}
				m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: journal, Gate: g})
				m.Open()
				for range 4 {
					go m.Accept(testMessage("a@x"))
				}
				time.Sleep(limit.wait)
				synctest.Wait()
				if s := g.Status(); s.State != GateHold || s.Intake != 4 || s.Kind != ReasonJournal {
					t.Errorf("%+v", s)
				}
				opened := g.Opened()
				for range 3 {
					journal.release <- nil
				}
				journal.release <- errors.New("disk full")
				synctest.Wait()
				select {
				case <-opened:
				default:
					t.Error("nobody was told that it has opened")
				}
				if s := g.Status(); s.State != GateOpen || s.Intake != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestDrainTime: mail that would take too long to send is left, in total and at a site, and what is shut opens at four fifths.
func TestDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGatehouse(t, 100_000, func(c *GateConfig, _ *GateDeps) { c.MaxDrain = time.Minute })
		x.offers(10, "slow.example")
		for range 10 {
			time.Sleep(time.Second)
			x.visit(1, "slow.example", Sent)
		}
		if n := x.offers(300, "slow.example"); n < 50 || n > 70 {
			t.Errorf("%d messages were taken for a site that takes one a second", n)
		}
	})
}

// TestMaxOverflow: enough is left with the MTA, then it refuses.
func TestMaxOverflow(t *testing.T) {
	x := newGatehouse(t, 16, func(c *GateConfig, _ *GateDeps) { c.MaxOverflow = 3 })
	for x.offer("", "a@x.example") {
	}
	var got []GateState
	for range 4 {
		grant := x.g.Ask("", []string{"x.example"})
		got = append(got, grant.Overflow())
		grant.Release()
	}
	if want := []GateState{GateOverflow, GateTempfail, GateTempfail, GateTempfail}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if x.state() != GateTempfail {
		t.Error(x.state())
	}
}

// TestSomeRecipientsStay: the recipients of a site without room stay with the MTA, the others are taken.
func TestSomeRecipientsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGatehouse(t, 100, nil)
		x.offers(1, "dead.example")
		x.visit(1, "dead.example", Deferred)
		x.offers(99, "dead.example")
		before := x.h.Status().Messages
		if x.offer("", "a@dead.example", "b@live.example") {
			t.Error("there was room at the dead site")
		}
		if got := x.h.Status().Messages; got != before+1 {
			t.Errorf("%d messages, want %d", got, before+1)
		}
		if x.g.rooms["live.example"].nodes != 1 {
			t.Error("the other recipient was not taken")
		}
	})
}

// scriptedAllowance refuses the tenants that it names.
type scriptedAllowance map[string]Reason

func (a scriptedAllowance) Reserve(tenant string, _ int) (func(), Reason) { return nil, a[tenant] }

// watchedAllowance keeps room until the message is counted.
type watchedAllowance struct {
	kept  int
	taken int // messages that the listener was told of
	g     *Gate
	t     *testing.T
}

func (a *watchedAllowance) Reserve(_ string, rcpts int) (func(), Reason) {
	a.noMutex()
	a.kept += rcpts
	before := a.taken
	return func() {
		a.noMutex()
		a.kept -= rcpts
		if rcpts == 2 && a.taken == before {
			a.t.Error("the room was free before the message was counted")
		}
	}, Reason{}
}

// noMutex wants the gate's mutex free: a delivery that waits for it would wait for the allowance too.
func (a *watchedAllowance) noMutex() {
	if !a.g.mu.TryLock() {
		a.t.Error("the allowance is asked under the gate's mutex")
		return
	}
	a.g.mu.Unlock()
}

func (a *watchedAllowance) Event(e *Event) {
	if e.Kind == EventTaken {
		a.taken++
	}
}

// TestAllowanceIsKeptUntilCounted: in between another message could take the room of one that is taken. Whatever becomes of a message,
// nothing stays kept.
func TestAllowanceIsKeptUntilCounted(t *testing.T) {
	a := &watchedAllowance{t: t}
	x := newGatehouse(t, 3, func(_ *GateConfig, d *GateDeps) { d.Allowance = a })
	x.deps.Listener, a.g = a, x.g
	x.offer("", "a@x.example", "b@y.example")
	x.g.AskFor("", []string{"x.example"}, 7).Release()
	x.g.AskFor("", nil, 5).Release()
	for range 5 {
		x.offer("", "a@x.example") // until there is no room
	}
	if a.kept != 0 || a.taken == 0 || a.taken > 5 {
		t.Errorf("%d are kept, %d messages taken", a.kept, a.taken)
	}
}

// TestGateOnOrder: an admin's order, and an allowance that is used up, leave mail with the MTA, and no reply waits for them.
func TestGateOnOrder(t *testing.T) {
	order := Reason{}
	used := map[string]Reason{"poor": WaitFor(ReasonTenant, "poor", "its allowance is used up", time.Time{})}
	x := newGatehouse(t, 100, func(_ *GateConfig, d *GateDeps) {
		d.Draining = func() Reason { return order }
		d.Allowance = scriptedAllowance(used)
	})
	if x.offer("poor", "a@x.example") || !x.offer("rich", "a@x.example") {
		t.Error("the allowance is not asked for, or for the wrong tenant")
	}
	order = WaitFor(ReasonSite, "", "drained by root", time.Time{})
	grant := x.g.Ask("rich", []string{"x.example"})
	if !grant.Refuses(0) || grant.Waits() != Enough || x.g.Shut() != order {
		t.Errorf("%v %v %v", grant.Refuses(0), grant.Waits(), x.g.Shut())
	}
	order = Reason{}
	if !x.offer("rich", "a@x.example") {
		t.Error("the order is over")
	}
}

// TestGateCountsToZero: whatever happens to messages, nothing stays counted when they are gone, and idle rooms are bounded.
func TestGateCountsToZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		x := newGatehouse(t, 300, func(_ *GateConfig, d *GateDeps) {
			d.Site = func(domain string) string {
				if r.IntN(3) == 0 {
					return "" // not known just now
				}
				return "mx." + domain[:2]
			}
		})
		x.SetTenants([]TenantConfig{{Name: "acme", MaxMessages: 50}})
		for range 4000 {
			domain := fmt.Sprintf("d%d.example", r.IntN(12))
			switch r.IntN(6) {
			case 0, 1:
				x.offer([]string{"", "acme"}[r.IntN(2)], "a@"+domain, fmt.Sprintf("b@d%d.example", r.IntN(12)))
			case 2:
				x.visit(r.IntN(4), domain, Sent)
			case 3:
				x.visit(1, domain, []Outcome{Deferred, Bounced, Again}[r.IntN(3)])
			case 4:
				time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
			default:
				x.g.Ask("acme", []string{domain}).Release()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go x.h.Run(ctx)           // ends with ctx
		time.Sleep(3 * time.Hour) // what is deferred comes back
		synctest.Wait()
		for i := range 12 {
			for d := fmt.Sprintf("d%d.example", i); x.visit(1000, d, Sent) > 0; {
			}
		}
		g := x.g
		if g.waiting != 0 || g.granted != 0 || g.dead != 0 || g.deadB != 0 {
			t.Errorf("waiting %d, granted %d, dead %d with %d bytes", g.waiting, g.granted, g.dead, g.deadB)
		}
		for name, room := range g.rooms {
			if room.nodes != 0 || room.bytes != 0 || room.granted != 0 || room.idle == nil {
				t.Errorf("room %s: %+v", name, room)
			}
		}
		if acme := g.tenants["acme"]; acme.nodes != 0 || acme.granted != 0 {
			t.Errorf("%+v", acme)
		}
		if n := x.h.Status().Messages; n != 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

func TestGateStateText(t *testing.T) {
	for s := GateOpen; s <= GateTempfail; s++ {
		text, _ := json.Marshal(s)
		var back GateState
		if err := json.Unmarshal(text, &back); err != nil || back != s {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
	var newer GateState
	if json.Unmarshal([]byte(`"sluiced"`), &newer); newer != GateOverflow {
		t.Errorf("a state of a newer daemon reads as %s", newer)
	}
}

func TestGateConfig(t *testing.T) {
	for _, test := range []struct {
		change func(*GateConfig)
		want   string
	}{
		{func(c *GateConfig) {}, ""},
		{func(c *GateConfig) { c.MaxIntake = 0 }, "max_intake: "},
		{func(c *GateConfig) { c.MaxIntakeDelay = 0 }, "max_intake_delay: "},
		{func(c *GateConfig) { c.MaxDrain = -1 }, "max_drain: "},
		{func(c *GateConfig) { c.Hold = 26 * time.Second }, "hold: "},
		{func(c *GateConfig) { c.MaxHeld = -1 }, "max_held: "},
		{func(c *GateConfig) { c.MTAProcesses = -1 }, "mta_processes: "},
		{func(c *GateConfig) { c.Overflow = "bounce" }, "overflow: "},
		{func(c *GateConfig) { c.MaxOverflow = -1 }, "max_overflow: "},
	} {
		c := DefaultGateConfig()
		test.change(&c)
		err := c.Validate()
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

// BenchmarkGate is what the gate costs a message: Ask, its place, its outcome, its leaving.
func BenchmarkGate(b *testing.B) {
	cfg := DefaultQueueConfig()
	g := NewGate(DefaultGateConfig(), GateDeps{})
	m := NewQueueMap(cfg, Deps{Journal: NoJournal{}, Gate: g})
	msg := testMessage("a@x.example")
	m.address(msg)
	n := msg.Node(0)
	domains := []string{"x.example"}
	b.ReportAllocs()
	for b.Loop() {
		msg.Slip.Grant = g.Ask("", domains)
		g.BeginTake()
		g.EndTake(true)
		g.admit(msg, []*Node{n}, msg.Slip.Grant)
		msg.Slip.Grant = nil
		g.settled(n, true, false, time.Now())
		g.leave(n)
	}
}
