package licence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

// TestPeriods follows a clock, and restarts at each step if told so. Each step sends as much as there is room for.
func TestPeriods(t *testing.T) {
	type step struct {
		at   string
		want int
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"a month's end", []step{{"2026-11-30 23:59", 100}, {"2026-11-30 23:59", 0}, {"2026-12-01 00:00", 100}, {"2026-12-31 23:59", 0}, {"2027-01-01 00:00", 100}}},
		{"a month that nobody saw begin", []step{{"2026-11-30 12:00", 100}, {"2027-02-14 12:00", 100}}},
		{"the clock goes back over the month's end and forward again", []step{
			{"2026-12-01 00:01", 100}, {"2026-11-30 23:59", 0}, {"2026-12-01 00:02", 0}, {"2027-01-01 00:00", 100},
		}},
		{"the clock goes back to a month that was", []step{{"2026-11-10 00:00", 100}, {"2026-12-10 00:00", 100}, {"2026-11-11 00:00", 0}, {"2026-12-11 00:00", 0}}},
		{"the clock goes back to a month that never was", []step{{"2026-11-10 00:00", 100}, {"2027-01-10 00:00", 100}, {"2026-12-10 00:00", 0}, {"2027-01-11 00:00", 0}, {"2027-02-01 00:00", 100}}},
		{"a wrong clock, years ahead, locks nothing up", []step{{"2026-11-10 00:00", 100}, {"2038-01-01 00:00", 100}, {"2026-11-11 00:00", 0}, {"2026-12-01 00:00", 100}, {"2027-01-01 00:00", 100}, {"2038-01-01 00:00", 0}}},
		{"a clock that jumps to and fro", []step{
			{"2026-11-10 00:00", 100}, {"2038-01-01 00:00", 100}, {"2026-11-10 00:00", 0}, {"2038-01-01 00:00", 0}, {"1970-01-01 00:00", 0}, {"2026-11-10 00:00", 0}, {"2038-01-01 00:00", 0},
		}},
	} {
		for _, restart := range []bool{false, true} {
			x := newMeterage(t, nil)
			x.cfg.Month = 100
			x.begun = false
			x.Reload(x.cfg, nil)
			x.begun = true
			for i, s := range tt.steps {
				if restart && i > 0 {
					m, err := NewMeter(x.deps, x.disk, nil)
					if err != nil {
						t.Fatal(err)
					}
					m.Reload(x.cfg, nil)
					m.begun, x.Meter = true, m
				}
				x.turning.Lock()
				x.turn(at(s.at))
				x.turning.Unlock()
				if got := x.sends("", 300); got != s.want {
					t.Errorf("%s, restart %v: at %s %d, want %d", tt.name, restart, s.at, got, s.want)
				}
			}
		}
	}
}

// TestADayBeginsByTheTimeZone: and not by the host's.
func TestADayBeginsByTheTimeZone(t *testing.T) {
	x := newMeterage(t, nil)
	x.cfg.Day, x.cfg.TimeZone = 100, "Asia/Tokyo"
	if _, err := x.cfg.zone(); err != nil {
		t.Skip(err)
	}
	x.begun = false
	x.Reload(x.cfg, nil)
	x.begun = true
	for _, s := range []struct {
		at   string
		want int
	}{{"2026-11-26 14:59", 100}, {"2026-11-26 15:00", 100}, {"2026-11-27 00:00", 0}} {
		x.turn(at(s.at))
		if got := x.sends("", 300); got != s.want {
			t.Errorf("at %s %d, want %d", s.at, got, s.want)
		}
	}
	if got := x.Status().Usage[0].Resets; !got.Equal(at("2026-11-27 15:00")) {
		t.Errorf("it resets at %s", got)
	}
}

// TestRunBeginsTheDay: Run alone begins the day, within a second, and no message needs to ask.
func TestRunBeginsTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMeterage(t, func(c *Config) { c.Day = 100 }) // 2000-01-01 in a bubble
		done := make(chan struct{})
		ctx := t.Context()
		go func() { x.Run(ctx); close(done) }() // ends with the test
		x.sends("", 300)
		time.Sleep(time.Until(time.Date(2000, 1, 1, 23, 59, 59, 0, time.UTC)))
		if got := x.sends("", 300); got != 0 {
			t.Errorf("%d on the first day", got)
		}
		time.Sleep(2 * time.Second)
		if got := x.sends("", 300); got != 100 {
			t.Errorf("%d on the second", got)
		}
	})
}

// TestAStateThatIsLost: the periods begin now, and the log says so.
func TestAStateThatIsLost(t *testing.T) {
	for _, damage := range []string{"", "{", "[]", `{"version":9,"installation":"x"}`, `{"version":1,"installation":""}`, `{"version":1,"installation":"x","month":{"now":"2026-11","begun":{"2026-11":null}},"serials":[{"key":"17"}],"warned":null,"evaluation":null}`} {
		x := newMeterage(t, func(c *Config) { c.Month = 100 })
		x.sends("", 70)
		x.disk = []byte(damage)
		if damage == "" {
			x.disk = nil
		}
		x.start()
		if got := x.sends("", 300); got != 100 {
			t.Errorf("%q: %d", damage, got)
		}
		if begins := strings.Contains(strings.Join(x.told, "\n"), "begins now"); begins != (damage != "" && !strings.Contains(damage, "begun")) {
			t.Errorf("%q: told %q", damage, x.told)
		}
	}
}

// TestACounterThatIsLost: it begins at 0. The bases of before must not lock it up, nor is what was sent before known.
func TestACounterThatIsLost(t *testing.T) {
	x := newMeterage(t, func(c *Config) { c.Month = 100 })
	x.count.count("", 5000, 0)
	x.disk = nil
	x.start()
	x.sends("", 60)
	before := x.Status().Installation
	x.count.sent[""] = 0
	x.start()
	if got := x.sends("", 300); got != 100 || x.Status().Installation == before {
		t.Errorf("%d, installation %s as before %s", got, x.Status().Installation, before)
	}
}

// TestADiskThatIsFull: what is not durable is not in force, so that it cannot begin twice. Nothing hangs.
func TestADiskThatIsFull(t *testing.T) {
	x := newMeterage(t, func(c *Config) { c.Month = 100 })
	x.full, x.disk = true, nil
	x.start() // for the first time
	if got := x.sends("", 300); got != 0 || x.refusing() != "how much of the allowance is used is not known yet: disk full" {
		t.Errorf("%d, refused for %q", got, x.refusing())
	}
	x.full = false
	x.turn(at("2026-11-10 00:00"))
	x.sends("", 300)
	x.full = true
	x.look(at("2026-12-01 00:00"))
	if got := x.sends("", 300); got != 0 || x.Status().StoreError != "disk full" {
		t.Errorf("%d, %+v", got, x.Status())
	}
	x.full = false
	x.look(at("2026-12-01 00:01"))
	if got := x.sends("", 300); got != 100 || x.Status().StoreError != "" {
		t.Errorf("%d, %+v", got, x.Status())
	}
}

// TestWarnings: once for each level of a period, also over a restart.
func TestWarnings(t *testing.T) {
	x := newMeterage(t, func(c *Config) { c.Month = 100 })
	levels := func() (got []int) {
		t.Helper()
		x.look(time.Now())
		for _, w := range x.told {
			var p int
			if _, err := fmt.Sscanf(w[strings.LastIndex(w, ": ")+2:], "%d %%", &p); err != nil {
				t.Fatal(w)
			}
			got = append(got, p)
		}
		x.told = nil
		return got
	}
	for _, s := range []struct {
		send int
		want []int
	}{{74, nil}, {1, []int{75}}, {5, nil}, {11, []int{90}}, {8, nil}, {1, []int{100}}, {50, nil}} {
		x.sends("", s.send)
		if got := levels(); fmt.Sprint(got) != fmt.Sprint(s.want) {
			t.Errorf("after %d more: %v, want %v", s.send, got, s.want)
		}
		x.start()
	}
	x.cfg.Month = 120 // another bound
	x.start()
	x.sends("", 1)
	if got := levels(); fmt.Sprint(got) != "[75]" {
		t.Errorf("a larger bound: %v", got)
	}
}

// TestALicenceHolds: its bounds, its grace, its end, and the evaluation when there is none.
func TestALicenceHolds(t *testing.T) {
	key := newKey(t)
	x := newMeterage(t, func(c *Config) {
		c.Keys, c.Evaluation, c.Grace = []string{key.Public().String()}, 30, 24*time.Hour
	})
	l := sample()
	l.Limits = Limits{Total: 50}
	l.Tenants = []TenantConfig{{"acme", Limits{Total: 5}}}
	run := func(at time.Time) int {
		x.turn(at)
		return x.sends("", 300)
	}
	if got := run(noon); got != 30 {
		t.Errorf("evaluation: %d", got)
	}
	x.lic = &l
	x.Reload(x.cfg, x.lic)
	x.turn(noon)
	if a, b := x.sends("acme", 100), x.sends("", 100); a != 5 || b != 45 {
		t.Errorf("licence: %d %d", a, b)
	}
	if got := run(l.Expires.Add(-time.Second)); got != 0 {
		t.Errorf("the same licence again: %d", got)
	}
	renewed := l
	renewed.Serial, renewed.Expires = "18", l.Expires.AddDate(0, 1, 0)
	for _, again := range []*Licence{&renewed, &l, &renewed} { // each begins once
		x.Reload(x.cfg, again)
		want := 0
		if got := run(l.Expires.Add(-time.Second)); again.Serial == "18" && x.count.sent[""] <= 130 && got == 50 {
			want = 50
		} else if got != want {
			t.Errorf("licence %s: %d", again.Serial, got)
		}
	}
	if got := x.count.sent[""]; got != 130 {
		t.Errorf("%d in all, want 30 for evaluation, 50 and 50", got)
	}
	third := renewed
	third.Serial = "19"
	x.Reload(x.cfg, &third)
	if got := run(third.Expires.Add(23 * time.Hour)); got != 50 {
		t.Errorf("in grace: %d", got)
	}
	if got := run(third.Expires.Add(25 * time.Hour)); got != 0 {
		t.Errorf("without a licence the evaluation is over: %d", got)
	}
	if _, why := x.Reserve("", 1); !strings.Contains(why.Text, "for evaluation") {
		t.Errorf("%+v", why)
	}
	x.cfg.Evaluation = 0
	x.Reload(x.cfg, &third)
	if got := run(third.Expires.Add(25 * time.Hour)); got != 300 {
		t.Errorf("without an evaluation mail flows: %d", got)
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

// TestTheStateIsSmall: a thousand tenants for months stay within what a start reads in a moment.
func TestTheStateIsSmall(t *testing.T) {
	x := newMeterage(t, nil)
	for i := range MaxTenants {
		x.cfg.Tenant = append(x.cfg.Tenant, TenantConfig{fmt.Sprintf("tenant-%d", i), Limits{Day: 1, Month: 1}})
	}
	x.Reload(x.cfg, nil)
	for d := range 20 {
		x.turn(noon.AddDate(0, 0, d))
	}
	if len(x.disk) > 1<<20 || !json.Valid(x.disk) {
		t.Errorf("%d bytes", len(x.disk))
	}
}
