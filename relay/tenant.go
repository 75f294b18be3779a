package relay

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// TenantConfig is what the heart knows of a [[tenant]] table.
type TenantConfig struct {
	Name        string   `toml:"name"`
	Weight      int      `toml:"weight"`      // its part of the turns, beside the weights of others; 0: 1
	Connections int      `toml:"connections"` // transactions under way at the same time, all sites together; 0: as many as there may be
	Rate        float64  `toml:"rate"`        // messages a second, all sites together; 0: as fast as may be
	Sources     []string `toml:"sources"`     // names of the [[source]] tables that its mail leaves by; empty: any
}

// maxWeight is the largest weight of a tenant.
const maxWeight = 10_000

// Validate returns what is wrong, naming the key.
func (c TenantConfig) Validate() error {
	switch {
	case c.Name == "":
		return fmt.Errorf(`name: is empty; give the tenant a name, like "shop"`)
	case c.Weight < 0 || c.Weight > maxWeight:
		return fmt.Errorf("weight: %d is not between 1 and %d", c.Weight, maxWeight)
	case c.Connections < 0:
		return fmt.Errorf("connections: %d is negative; 0 is no limit", c.Connections)
	case !(c.Rate >= 0 && c.Rate <= maxRate) || c.Rate > 0 && c.Rate < minRate:
		return fmt.Errorf("rate: %g is not between %g and %g messages a second; 0 is no limit", c.Rate, minRate, maxRate)
	}
	return nil
}

// The bounds of a tenant's rate, in messages a second: one a day, and more than this machine can send.
const (
	minRate = 1.0 / 86400
	maxRate = 1e6
)

// Tenant is somebody whose mail has a weight and limits of its own. A nil Tenant is everybody whom no tenant names: its weight is 1,
// and nothing limits it. All methods may be called from any goroutine.
type Tenant struct {
	name   string
	weight atomic.Int64
	opened *atomic.Uint64 // flows.opened

	flows int  // that live; guarded by the mutex of flows, as is
	named bool // by the configuration

	mu     sync.Mutex
	cfg    TenantConfig
	busy   int       // transactions under way
	spaced time.Time // when the next message was due if messages were spaced evenly by the rate (GCRA's theoretical arrival time)
}

func newTenant(name string, opened *atomic.Uint64) *Tenant {
	t := &Tenant{name: name, opened: opened}
	t.limit(TenantConfig{})
	return t
}

// limit replaces weight and limits. Transactions under way above a smaller number go on.
func (t *Tenant) limit(cfg TenantConfig) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cfg = cfg
	if next := time.Now().Add(t.spacing()); t.spaced.After(next) {
		t.spaced = next // by the old rate the next message may be a day away
	}
	t.weight.Store(int64(min(max(cfg.Weight, 1), maxWeight)))
}

// rateSlack is how early a message may be for the rate: who asks for it does not ask at every moment. In any time T a tenant has at
// most rate × (T + rateSlack) + 1 messages.
const rateSlack = 100 * time.Millisecond

// lookAgain is when a tenant is asked again that has all its transactions under way, if nobody says before that one has ended.
const lookAgain = 100 * time.Millisecond

// grant begins a transaction if no limit is reached: it counts until conclude or refund. Else grant says when to ask again.
func (t *Tenant) grant(now time.Time) (again time.Time, ok bool) {
	if t == nil {
		return time.Time{}, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if again, ok = t.asked(now); ok {
		t.charge(now)
	}
	return again, ok
}

// look says what grant would say, and begins nothing.
func (t *Tenant) look(now time.Time) (again time.Time, ok bool) {
	if t == nil {
		return time.Time{}, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked(now)
}

// force begins a transaction whatever the limits are.
func (t *Tenant) force(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.charge(now)
}

// asked is look under the mutex.
func (t *Tenant) asked(now time.Time) (again time.Time, ok bool) {
	if t.full() {
		return now.Add(lookAgain), false
	}
	if early := t.spaced.Sub(now) - rateSlack; t.cfg.Rate > 0 && early > 0 {
		return now.Add(early), false
	}
	return time.Time{}, true
}

func (t *Tenant) full() bool { return t.cfg.Connections > 0 && t.busy >= t.cfg.Connections }

func (t *Tenant) charge(now time.Time) {
	t.busy++
	if t.spaced.Before(now) {
		t.spaced = now
	}
	t.spaced = t.spaced.Add(t.spacing())
}

// spacing is the time between two messages.
func (t *Tenant) spacing() time.Duration {
	if t.cfg.Rate == 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / t.cfg.Rate)
}

// conclude ends a transaction. It reports whether the tenant may have another one now and could not have it before.
func (t *Tenant) conclude() (opened bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.discharge()
}

// refund ends a transaction that never was: its message does not count for the rate.
func (t *Tenant) refund() (opened bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spaced = t.spaced.Add(-t.spacing())
	return t.discharge()
}

func (t *Tenant) discharge() (opened bool) {
	full := t.full()
	t.busy--
	if opened = full && !t.full(); opened {
		t.opened.Add(1)
	}
	return opened
}

// holds says which limit is reached at now, and when to ask again; the zero Reason for none.
func (t *Tenant) holds(now time.Time) Reason {
	t.mu.Lock()
	defer t.mu.Unlock()
	again, ok := t.asked(now)
	switch {
	case ok:
		return Reason{}
	case t.full():
		return WaitFor(ReasonTenant, t.name, fmt.Sprintf("tenant %s has its %d connections", t.name, t.cfg.Connections), time.Time{})
	}
	return WaitFor(ReasonTenant, t.name, fmt.Sprintf("tenant %s has its rate of %g/s", t.name, t.cfg.Rate), again)
}
