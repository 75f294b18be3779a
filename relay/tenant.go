package relay

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// TenantConfig is what the heart knows of a [[tenant]] table.
type TenantConfig struct {
	Name        string     `toml:"name"`
	Weight      int        `toml:"weight"`       // its part of the turns, beside the weights of others; 0: 1
	Connections int        `toml:"connections"`  // transactions under way at the same time, all sites together; 0: as many as there may be
	Rate        TenantRate `toml:"rate"`         // messages a second, all sites together; 0: as fast as may be
	MaxMessages int        `toml:"max_messages"` // of its messages that wait here; 0: as many as there is room for
	Sources     []string   `toml:"sources"`      // names of the [[source]] tables that its mail leaves by; empty: any
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
	case c.MaxMessages < 0:
		return fmt.Errorf("max_messages: %d is negative; 0 is no limit", c.MaxMessages)
	case !(c.Rate >= 0 && c.Rate <= maxRate) || c.Rate > 0 && c.Rate < minRate:
		return fmt.Errorf(`rate: %g a second is not between "1/d" and "%.0f/s"; 0 is no limit`, float64(c.Rate), maxRate)
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

	waiting, latest *share // of all lines, whose mail was passed over; the one that has waited longest first
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

// A tenant's limits are for all sites together, and each site asks for itself, some after each transaction and some four times a
// second. Those that ask often would have every turn. So a share that has waited for longWait has the next one, unless it has not
// asked for gone: its site may be closed.
const (
	longWait = 2 * time.Second
	gone     = 600 * time.Millisecond
)

// grant begins a transaction for s if no limit is reached: it counts until conclude or refund. Else grant says when to ask again.
func (t *Tenant) grant(s *share, now time.Time) (again time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if again, ok = t.asked(s, now); ok {
		s.earlier = time.Time{}
		t.delist(s)
		t.book(now)
	}
	return again, ok
}

// look says what grant would say, and begins nothing.
func (t *Tenant) look(s *share, now time.Time) (again time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked(s, now)
}

// force begins a transaction whatever the limits are.
func (t *Tenant) force(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.book(now)
}

// withdraw says that s does not wait any more.
func (t *Tenant) withdraw(s *share) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.delist(s)
}

// asked is look under the mutex.
func (t *Tenant) asked(s *share, now time.Time) (again time.Time, ok bool) {
	again = t.limited(now)
	if again.IsZero() && t.kept(s, now) {
		again = now.Add(lookAgain)
	}
	if again.IsZero() {
		return again, true
	}
	if s.since.IsZero() {
		t.enlist(s, now)
	}
	s.asked = now
	return again, false
}

// limited is when to ask again because a limit is reached; the zero time: none is.
func (t *Tenant) limited(now time.Time) time.Time {
	if t.full() {
		return now.Add(lookAgain)
	}
	if due := t.spaced.Add(-rateSlack); t.cfg.Rate > 0 && due.After(now) {
		return due
	}
	return time.Time{}
}

// kept reports whether the next turn is kept from s, for a share that has waited long.
func (t *Tenant) kept(s *share, now time.Time) bool {
	for t.waiting != nil && now.Sub(t.waiting.asked) > gone {
		t.delist(t.waiting)
	}
	long := func(w *share) bool {
		return !w.since.IsZero() && now.Sub(w.since) >= longWait || !w.earlier.IsZero() && now.Sub(w.earlier) >= longWait
	}
	return t.waiting != nil && long(t.waiting) && !long(s)
}

// enlist puts s among those that wait: behind those that have waited longer.
func (t *Tenant) enlist(s *share, now time.Time) {
	if s.since = now; !s.earlier.IsZero() {
		s.since, s.earlier = s.earlier, time.Time{}
	}
	s.before, s.after = t.latest, nil
	for s.before != nil && s.before.since.After(s.since) {
		s.before, s.after = s.before.before, s.before
	}
	if s.before != nil {
		s.before.after = s
	} else {
		t.waiting = s
	}
	if s.after != nil {
		s.after.before = s
	} else {
		t.latest = s
	}
}

// remember notes in q, which leaves the line of s, since when s waits: a queue that goes from line to line has waited no less. A turn
// of s ends the wait of all.
func (t *Tenant) remember(s *share, q *Queue) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.since.IsZero() || s.earlier.IsZero() {
		q.passedOver = s.since
	}
}

// recall takes over for s what remember noted in q, which has joined the line of s.
func (t *Tenant) recall(s *share, q *Queue) {
	if t == nil || q.passedOver.IsZero() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.since.IsZero() && (s.earlier.IsZero() || q.passedOver.Before(s.earlier)) {
		s.earlier = q.passedOver
	}
}

func (t *Tenant) delist(s *share) {
	if s.since.IsZero() {
		return
	}
	if s.before != nil {
		s.before.after = s.after
	} else {
		t.waiting = s.after
	}
	if s.after != nil {
		s.after.before = s.before
	} else {
		t.latest = s.before
	}
	s.since, s.before, s.after = time.Time{}, nil, nil
}

func (t *Tenant) full() bool { return t.cfg.Connections > 0 && t.busy >= t.cfg.Connections }

func (t *Tenant) book(now time.Time) {
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
	return time.Duration(float64(time.Second) / float64(t.cfg.Rate))
}

// conclude ends a transaction.
func (t *Tenant) conclude() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.discharge()
}

// refund ends a transaction that never was: its message does not count for the rate.
func (t *Tenant) refund() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spaced = t.spaced.Add(-t.spacing())
	t.discharge()
}

func (t *Tenant) discharge() {
	full := t.full()
	if t.busy--; full && !t.full() {
		t.opened.Add(1)
	}
}

// holds says which limit is reached at now, and when to ask again; the zero Reason for none.
func (t *Tenant) holds(now time.Time) Reason {
	t.mu.Lock()
	defer t.mu.Unlock()
	again := t.limited(now)
	switch {
	case again.IsZero():
		return Reason{}
	case t.full() && t.cfg.Connections == 1:
		return WaitFor(ReasonTenant, t.name, fmt.Sprintf("tenant %s has its one connection", t.name), time.Time{})
	case t.full():
		return WaitFor(ReasonTenant, t.name, fmt.Sprintf("tenant %s has its %d connections", t.name, t.cfg.Connections), time.Time{})
	}
	return WaitFor(ReasonTenant, t.name, fmt.Sprintf("tenant %s has its rate of %s", t.name, t.cfg.Rate), again)
}
