package filter

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// keeper is a door's session whose reply may wait.
type keeper struct {
	patience time.Duration
	stop     chan struct{}
	holds    int
}

func (k *keeper) Patience() time.Duration   { return k.patience }
func (k *keeper) BeginHold()                { k.holds++ }
func (k *keeper) EndHold()                  { k.holds-- }
func (k *keeper) Stopping() <-chan struct{} { return k.stop }

// gated is an intake behind a gate with room for 16 messages.
type gated struct {
	t      *testing.T
	in     *Intake
	gate   *relay.Gate
	queues *relay.QueueMap
	h      *relay.Handler
	drain  relay.Reason // an admin's order
	most   int          // recipients that an allowance has room for; 0: any number
	mu     sync.Mutex
	asked  []int // recipients that it was asked for; guarded by mu
}

// Reserve implements relay.Allowance.
func (x *gated) Reserve(_ string, rcpts int) (func(), relay.Reason) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked = append(x.asked, rcpts)
	if x.most > 0 && rcpts > x.most {
		return nil, relay.WaitFor(relay.ReasonAllowance, "", "the allowance is used up", time.Time{})
	}
	return nil, relay.Reason{}
}

func newGated(t *testing.T, change func(*relay.GateConfig), rules ...Rule) *gated {
	t.Helper()
	x := &gated{t: t}
	cfg := relay.DefaultGateConfig()
	if change != nil {
		change(&cfg)
	}
	x.gate = relay.NewGate(cfg, relay.GateDeps{Draining: func() relay.Reason { return x.drain }, Allowance: x})
	queue := relay.DefaultQueueConfig()
	queue.MaxMessages = 16
	x.queues = relay.NewQueueMap(queue, relay.Deps{Journal: relay.NoJournal{}, Gate: x.gate})
	x.queues.Open()
	x.h = relay.NewHandler(x.queues, relay.DefaultRetryConfig(), relay.HandbackConfig{})
	s := newSite(t, Deliver, wideLimits(), rules...)
	deps := s.in.deps
	deps.Accept, deps.Gate = x.queues, x.gate
	in, err := NewIntake(wideLimits(), Deliver, deps)
	if err != nil {
		t.Fatal(err)
	}
	x.in = in
	return x
}

// offer plays a newsletter up to the gate's answer, and on if it may. It returns how it ended, and how long that took.
func (x *gated) offer(k *keeper, script string) (answer string, took time.Duration) {
	x.t.Helper()
	begin := time.Now()
	d := &lineDoor{in: x.in, client: Offer{}}
	m := x.in.Begin(Offer{}, nil)
	defer m.Dismiss()
	for line := range strings.SplitSeq(script, "\n") {
		stage := d.digest(m, line)
		if stage == "EOH" {
			m.AskGate(k, func() string { return "" })
		}
		if m.Left() != "" {
			m.ReportLeft()
			return fmt.Sprintf("%s: %s, refused %v", stage, m.Left(), m.Refused()), time.Since(begin)
		}
	}
	return "taken", time.Since(begin)
}

// fill takes messages until the gate closes.
func (x *gated) fill() {
	x.t.Helper()
	for n := 0; ; n++ {
		if got, _ := x.offer(&keeper{}, newsletter(end...)); got != "taken" {
			return
		}
		if n > 16 {
			x.t.Fatal("the gate does not close")
		}
	}
}

// settle delivers so many messages.
func (x *gated) settle(n int) {
	x.t.Helper()
	for range n {
		q := x.h.Next(x.t.Context())
		v := x.h.Visit(q)
		v.FailAll(relay.Sent, relay.Fate{}.Reply)
		x.h.Settle(v)
		x.h.Ready(q)
	}
}

// TestSendIsASignal: replies wait, and each leaves at the moment at which the gate opens.
func TestSendIsASignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGated(t, nil)
		x.fill()
		type ending struct {
			answer string
			took   time.Duration
		}
		ends := make(chan ending, 2)
		for range 2 {
			go func() {
				answer, took := x.offer(&keeper{patience: time.Minute}, newsletter(end...))
				ends <- ending{answer, took}
			}()
		}
		time.Sleep(1700 * time.Millisecond)
		synctest.Wait()
		if now, since := x.in.hold.Held(); now != 2 || since != 2 {
			t.Errorf("%d replies wait, %d have waited", now, since)
		}
		x.settle(3)
		for range 2 {
			if e := <-ends; e.answer != "taken" || e.took != 1700*time.Millisecond {
				t.Errorf("%s after %s", e.answer, e.took)
			}
		}
		if now, _ := x.in.hold.Held(); now != 0 {
			t.Errorf("%d replies wait", now)
		}
	})
}

// TestHoldEnds: a reply that waits in vain ends at gate.hold, at the door's own patience, or with the door; mail of pickup does not wait.
func TestHoldEnds(t *testing.T) {
	const full = "EOH: no room: 94 % of queue.max_messages is used"
	for _, test := range []struct {
		name   string
		change func(*relay.GateConfig)
		keeper keeper
		rules  []Rule
		want   string
		took   time.Duration
	}{
		{"gate.hold", nil, keeper{patience: time.Minute}, nil, full + ", refused false", 4 * time.Second},
		{"the door's patience", nil, keeper{patience: time.Second}, nil, full + ", refused false", time.Second},
		{"not by SMTP", nil, keeper{}, nil, full + ", refused false", 0},
		{"no hold", func(c *relay.GateConfig) { c.Hold = 0 }, keeper{patience: time.Minute}, nil, full + ", refused false", 0},
		{"too many", func(c *relay.GateConfig) { c.MaxHeld = 0 }, keeper{patience: time.Minute}, nil, full + ", refused false", 0},
		{"no process left", func(c *relay.GateConfig) { c.MTAProcesses = 2 }, keeper{patience: time.Minute}, nil, full + ", refused false", 0},
		{"tempfail", func(c *relay.GateConfig) { c.Overflow = relay.OverflowTempfail }, keeper{patience: time.Minute}, nil, full + ", refused true", 4 * time.Second},
		{"tempfail, not by SMTP", func(c *relay.GateConfig) { c.Overflow = relay.OverflowTempfail }, keeper{}, nil, full + ", refused false", 0},
		{"a rule's own", nil, keeper{patience: time.Second}, []Rule{{Header: "List-Id", Overflow: relay.OverflowTempfail}}, full + ", refused true", time.Second},
		{"enough was left", func(c *relay.GateConfig) { c.MaxOverflow = 2 }, keeper{patience: time.Second}, nil, full + ", refused true", time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newGated(t, test.change, test.rules...)
				x.fill()
				k := test.keeper
				got, took := x.offer(&k, newsletter(end...))
				if got != test.want || took != test.took {
					t.Errorf("%q after %s, want %q after %s", got, took, test.want, test.took)
				}
				if k.holds != 0 {
					t.Error("the door was not told that the hold is over")
				}
			})
		})
	}
}

func TestStopEndsHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newGated(t, nil)
		x.fill()
		k := &keeper{patience: time.Minute, stop: make(chan struct{})}
		time.AfterFunc(time.Second, func() { close(k.stop) })
		if got, took := x.offer(k, newsletter(end...)); took != time.Second || !strings.HasPrefix(got, "EOH: no room") {
			t.Errorf("%s after %s", got, took)
		}
	})
}

// TestShutAtMAIL: what is known to be bulk at MAIL is not even begun while no mail is taken, and no other mail is touched.
func TestShutAtMAIL(t *testing.T) {
	x := newGated(t, nil, Rule{Sender: "*@example.com"})
	x.drain = relay.WaitFor(relay.ReasonSite, "", "drained by root", time.Time{})
	if got, _ := x.offer(&keeper{}, newsletter(end...)); got != "MAIL: no room: drained by root, refused false" {
		t.Error(got)
	}
	letter := strings.Replace(newsletter(end...), "news@example.com", "a@b.example", 1)
	if got, _ := x.offer(&keeper{}, strings.Replace(letter, "List-Id", "X-Id", 1)); got != "MAIL: no rule matches, refused false" {
		t.Error(got)
	}
	if s := x.in.Status(); s.LeftBy[CauseGate] != 1 {
		t.Errorf("%+v", s)
	}
}

// TestOverAllowance: the message stays with the MTA as a whole and at once, whatever gate.overflow says, and the MTA is not asked to offer
// it again. All recipients of one message are asked for together, also those of one domain.
func TestOverAllowance(t *testing.T) {
	for _, overflow := range []string{relay.OverflowLeave, relay.OverflowReturn, relay.OverflowTempfail} {
		x := newGated(t, func(c *relay.GateConfig) { c.Overflow, c.MaxOverflow = overflow, 1 })
		x.most = 2
		three := strings.Replace(newsletter(end...), "RCPT", "RCPT <y@there.example>\nRCPT <z@there.example>\nRCPT", 1)
		k := &keeper{patience: time.Minute}
		for range 2 {
			if got, took := x.offer(k, three); got != "EOH: the allowance is used up, refused false" || took > time.Second {
				t.Errorf("%s: %s after %s", overflow, got, took)
			}
		}
		if got, _ := x.offer(k, newsletter(end...)); got != "taken" {
			t.Errorf("%s: one recipient: %s", overflow, got)
		}
		if s := x.in.Status(); s.LeftBy[CauseAllowance] != 2 || !slices.Equal(x.asked, []int{3, 3, 1}) {
			t.Errorf("%s: %v left, asked for %v", overflow, s.LeftBy, x.asked)
		}
	}
}

func TestDomainsOfRecipients(t *testing.T) {
	rs := recipients{
		{Rcpt: relay.Rcpt{Addr: "a@x"}, ours: true}, {Rcpt: relay.Rcpt{Addr: "b@y"}}, {Rcpt: relay.Rcpt{Addr: "c@z"}, ours: true},
		{Rcpt: relay.Rcpt{Addr: "d@x"}, ours: true},
	}
	domains, of := (&Mail{rcpts: rs}).domains()
	if !slices.Equal(domains, []string{"x", "z"}) || !slices.Equal(of, []int{0, -1, 1, 0}) {
		t.Errorf("%v %v", domains, of)
	}
	domains, of = (&Mail{rcpts: rs[:1]}).domains()
	if !slices.Equal(domains, []string{"x"}) || !slices.Equal(of, []int{0}) {
		t.Errorf("%v %v", domains, of)
	}
}
