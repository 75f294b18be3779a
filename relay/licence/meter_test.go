package licence

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// counter is a Counter that goes on over a restart.
type counter struct {
	mu    sync.Mutex
	sent  map[string]uint64
	left  map[string]uint64
	reads int
}

func newCounter() *counter {
	return &counter{sent: make(map[string]uint64), left: make(map[string]uint64)}
}

func (c *counter) Used(tenant string) (sent, left uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	return c.sent[tenant], c.left[tenant]
}

// count counts for a tenant and the installation.
func (c *counter) count(tenant string, sent, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, t := range []string{"", tenant} {
		if i > 0 && t == "" {
			break
		}
		c.sent[t], c.left[t] = c.sent[t]+uint64(sent), uint64(int(c.left[t])+left)
	}
}

// Event counts as the daemon's counters do.
func (c *counter) Event(e *relay.Event) {
	switch {
	case e.Kind == relay.EventTaken:
		c.count(e.Message.Flow().Tenant, 0, e.Message.RcptCount())
	case e.Kind == relay.EventSettled && e.Outcome == relay.Sent:
		c.count(e.Message.Flow().Tenant, 1, -1)
	case e.Kind == relay.EventSettled && e.Outcome.Final():
		c.count(e.Message.Flow().Tenant, 0, -1)
	}
}

// meterage is a Meter with what it keeps, over restarts.
type meterage struct {
	*Meter
	t     *testing.T
	count *counter
	cfg   Config
	lic   *Licence
	disk  []byte
	full  bool // the disk is
	wrote int

	hearing sync.Mutex
	told    []string
}

// hear notes what the log is told.
func (x *meterage) hear(text string) {
	x.hearing.Lock()
	defer x.hearing.Unlock()
	x.told = append(x.told, text)
}

func newMeterage(t *testing.T, change func(*Config)) *meterage {
	t.Helper()
	x := &meterage{t: t, count: newCounter(), cfg: DefaultConfig()}
	x.cfg.TimeZone = "UTC"
	if change != nil {
		change(&x.cfg)
	}
	if err := x.cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	x.start()
	return x
}

// start starts the Meter anew, with what is on the disk.
func (x *meterage) start() {
	x.t.Helper()
	deps := Deps{
		Counter: x.count, Hostname: "mail.example.org", Warn: func(w Warning) { x.hear(w.String()) },
		Say: func(text string, err error) { x.hear(fmt.Sprint(text, err)) },
		Store: func(data []byte) error {
			if x.full {
				return errors.New("disk full")
			}
			x.disk, x.wrote = append([]byte(nil), data...), x.wrote+1
			return nil
		},
	}
	m, err := NewMeter(deps, x.disk, nil)
	if err != nil {
		x.hear(err.Error())
	}
	if err := m.Reload(x.cfg, x.lic); err != nil {
		x.t.Fatal(err)
	}
	m.Begin()
	x.Meter = m
}

// sends sends so many messages to one recipient each, and says how many the allowance had room for.
func (x *meterage) sends(tenant string, n int) (taken int) {
	for range n {
		free, why := x.Reserve(tenant, 1)
		if why.Waits() {
			continue
		}
		x.count.count(tenant, 1, 0)
		if free != nil {
			free()
		}
		taken++
	}
	return taken
}

// refusing is why mail is left now, as the status has it.
func (x *meterage) refusing() string {
	var all []string
	for _, why := range x.Status().Refusing {
		all = append(all, why.Text)
	}
	return strings.Join(all, "\n")
}

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

// TestUnlimitedAsksNothing: without a table nothing is read, kept or allocated.
func TestUnlimitedAsksNothing(t *testing.T) {
	x := newMeterage(t, nil)
	if n := testing.AllocsPerRun(100, func() {
		if free, why := x.Reserve("acme", 5); free != nil || why.Waits() {
			t.Error(why)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	x.look(time.Now())
	if x.count.reads != 0 || x.wrote != 0 || x.Status().Installation != "" {
		t.Errorf("%d reads, %d writes, %+v", x.count.reads, x.wrote, x.Status())
	}
}

// TestExactly: a bound is filled exactly, whatever is on its way.
func TestExactly(t *testing.T) {
	x := newMeterage(t, func(c *Config) { c.Total = 10 })
	if free, why := x.Reserve("", 11); free != nil || !why.Waits() {
		t.Error("11 of 10 fit in")
	}
	x.count.count("", 3, 4)
	free, why := x.Reserve("", 2)
	if why.Waits() {
		t.Fatal(why)
	}
	if _, why := x.Reserve("", 2); why.Kind != relay.ReasonAllowance || why.Text != "the allowance of 10 recipients in all (allowance) is used up: 3 sent, 6 on their way, 2 more asked for" {
		t.Errorf("%+v", why)
	}
	if free2, why := x.Reserve("", 1); why.Waits() {
		t.Error(why)
	} else {
		free2()
	}
	free()
	if got := x.sends("", 5); got != 3 {
		t.Errorf("%d fit in, want 3", got)
	}
	x.count.count("", 0, -4) // returned to their senders: nothing was sent
	if got := x.sends("", 5); got != 4 {
		t.Errorf("%d fit in, want 4", got)
	}
}

// TestATenantHasItsOwn: a tenant's allowance bounds nobody else, and everybody's bounds the tenant.
func TestATenantHasItsOwn(t *testing.T) {
	x := newMeterage(t, func(c *Config) {
		c.Month = 100
		c.Tenant = []TenantConfig{{"acme", Limits{Month: 10}}, {"shop", Limits{Day: 500}}}
	})
	if a, b, c := x.sends("acme", 50), x.sends("shop", 50), x.sends("", 50); a != 10 || b != 50 || c != 40 {
		t.Errorf("%d %d %d", a, b, c)
	}
	if _, why := x.Reserve("acme", 1); !strings.Contains(why.Text, "the allowance of 100 recipients this month") {
		t.Errorf("%+v", why)
	}
	if got := x.Status().Refusing; len(got) != 2 || got[0].Who != "" || got[1].Who != "acme" {
		t.Errorf("%+v", got)
	}
	x.cfg.Month = 1000
	x.Reload(x.cfg, nil)
	if got := x.refusing(); got != "" {
		t.Errorf("with another limit: %s", got)
	}
	if _, why := x.Reserve("acme", 1); why.Who != "acme" || !strings.Contains(why.Text, "tenant acme's allowance of 10 recipients this month") {
		t.Errorf("%+v", why)
	}
}

// TestTheReasonEnds with the bound that refuses: the month may be fuller, and the day refuses.
func TestTheReasonEnds(t *testing.T) {
	x := newMeterage(t, func(c *Config) { c.Day, c.Month = 10, 1000 })
	x.turn(at("2099-12-10 00:00"))
	x.count.count("", 982, 0)
	x.turn(at("2099-12-11 00:00"))
	x.sends("", 8)
	if _, why := x.Reserve("", 3); !why.Waits() {
		t.Fatal("11 of 10 fit in")
	}
	s := x.Status()
	if len(s.Refusing) != 1 || !s.Refusing[0].Until.Equal(at("2099-12-12 00:00")) || s.Usage[0].Span != SpanMonth {
		t.Errorf("%+v", s)
	}
}

// TestAcceptedAndLeft: 5,000 messages are offered by doors at the same time, through the gate and the map. Exactly 1,000 are taken, all of
// these are delivered, and the rest stays with the MTA.
func TestAcceptedAndLeft(t *testing.T) {
	const offered, allowed, doors = 5000, 1000, 16
	x := newMeterage(t, func(c *Config) {
		c.Month = allowed
		c.Tenant = []TenantConfig{{"acme", Limits{Month: 300}}}
	})
	gate := relay.NewGate(relay.DefaultGateConfig(), relay.GateDeps{Allowance: x.Meter})
	m := relay.NewQueueMap(relay.DefaultQueueConfig(), relay.Deps{Journal: relay.NoJournal{}, Gate: gate, Listener: x.count})
	m.Open()
	h := relay.NewHandler(m, relay.DefaultRetryConfig(), relay.HandbackConfig{})
	var mu sync.Mutex
	taken, left := map[string]int{}, map[string]int{}
	var run sync.WaitGroup
	for d := range doors {
		run.Go(func() {
			for i := d; i < offered; i += doors {
				tenant := []string{"", "acme"}[i%2]
				ok := offer(t, m, gate, relay.ID(i+1), tenant, i%3 == 0)
				mu.Lock()
				if ok {
					taken[tenant]++
				} else {
					left[tenant]++
				}
				mu.Unlock()
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var agents sync.WaitGroup
	for range 2 {
		agents.Go(func() { deliver(ctx, h) }) // ends with ctx
	}
	run.Wait()
	for h.Status().Messages > 0 {
		runtime.Gosched()
	}
	cancel()
	agents.Wait()
	sent, waiting := x.count.Used("")
	acme, _ := x.count.Used("acme")
	if sent != allowed || waiting != 0 || acme > 300 { // how many of all are acme's is chance
		t.Errorf("%d sent of %d, %d of at most 300 for acme, %d wait", sent, allowed, acme, waiting)
	}
	if n := taken[""] + taken["acme"] + left[""] + left["acme"]; n != offered || h.Status().Messages != 0 || h.Status().Bounced != 0 {
		t.Errorf("%d offered, %+v", n, h.Status())
	}
	for _, a := range x.accounts {
		if a.reserved != 0 {
			t.Errorf("%q: %d are still reserved", a.tenant, a.reserved)
		}
	}
}

// offer offers a message as a door does. Some doors change their mind after they were granted a place.
func offer(t *testing.T, m *relay.QueueMap, gate *relay.Gate, id relay.ID, tenant string, hesitant bool) bool {
	if hesitant {
		gate.AskFor(tenant, []string{"a.example"}, 3).Release()
	}
	grant := gate.Ask(tenant, []string{"a.example"})
	defer grant.Release()
	if grant.Refuses(0) {
		if why := grant.Why(0); why.Kind != relay.ReasonAllowance || grant.Waits() != relay.Enough || grant.Overflow() != relay.GateOverflow {
			t.Errorf("%+v", why)
		}
		return false
	}
	s := &relay.Slip{Flow: relay.FlowName{Tenant: tenant}, Grant: grant}
	s.Rcpts = []relay.Rcpt{{Addr: "a@a.example"}}
	if err := m.Accept(&relay.Message{ID: id, Slip: s, Content: relay.NewContent(relay.Letter{Body: []byte("x\r\n")})}); err != nil {
		t.Error(err)
	}
	return true
}

// deliver sends what waits, until ctx is done.
func deliver(ctx context.Context, h *relay.Handler) {
	for q := h.Next(ctx); q != nil; q = h.Next(ctx) {
		for v := h.Visit(q); v != nil; v = h.Visit(q) {
			v.FailAll(relay.Sent, smtp.Reply{Code: 250})
			h.Settle(v)
		}
		h.Ready(q)
	}
}
