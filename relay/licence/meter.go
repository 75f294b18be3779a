package licence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
)

// Counter is the count of the mail, in recipients. It goes on over a restart.
type Counter interface {
	// Used is how many recipients of a tenant, "" for the installation, a remote receiver has answered 2xx for since the first start, each
	// once; and for how many mail was taken and is not settled. It must not block: it is read under the Meter's mutex.
	Used(tenant string) (sent, left uint64)
}

// Deps are what a Meter works with.
type Deps struct {
	Counter  Counter
	Store    func(data []byte) error      // makes the state durable: snapshot.Agent.Store under a name of its own
	Warn     func(Warning)                // told once for each bound, period and level, on the Meter's goroutine; may be nil
	Say      func(text string, err error) // told of what an admin should know, err nil for good news; may be nil
	Hostname string
}

// Warning says that much of a bound is used.
type Warning struct {
	Tenant  string // "": the installation
	Span    Span
	By      string // who sets the bound: "allowance" or a licence
	Percent int    // 75, 90 or 100
	Used    uint64 // recipients sent
	Left    uint64 // recipients taken and not settled
	Limit   uint64
	Resets  time.Time // zero: never
}

// Meter holds mail against an allowance. It is a relay.Allowance. Run, Begin and Reload are the daemon's; all other methods may be called
// from any goroutine.
type Meter struct {
	deps    Deps
	limited atomic.Bool   // there is a bound; else nothing is asked
	hurry   chan struct{} // wakes Run
	thirst  chan struct{} // wakes Client.Run: half of the slice is used
	renewed chan struct{} // wakes Client.Run: the configuration is new

	turning sync.Mutex // held while a state is made, made durable and put in force

	mu       sync.Mutex
	cfg      Config
	keys     []PublicKey
	zone     *time.Location
	licence  *Licence // in force, or expired; nil: there is none
	slice    *Licence
	state    *state
	begun    bool // Begin has read the counter
	accounts map[string]*account
	warnings []Warning
	moment   moment // for which the bounds in force were made
	failed   string // why the state could not be made durable
	asked    asked
	reported uint64 // the installation's sent and pending of the last report
	askAt    uint64 // above so many sent and pending another slice is asked for
}

// NewMeter returns a Meter without bounds. kept is what Deps.Store was given last, nil for nothing; unread says that nobody knows what it
// was. A state that is lost or damaged begins now: the error says so, and the Meter works.
func NewMeter(deps Deps, kept []byte, unread error) (*Meter, error) {
	m := &Meter{
		deps: deps, cfg: DefaultConfig(), zone: time.Local, state: begin(), accounts: make(map[string]*account),
		hurry: make(chan struct{}, 1), thirst: make(chan struct{}, 1), renewed: make(chan struct{}, 1),
	}
	if kept == nil && unread == nil {
		return m, nil
	}
	s, err := decodeState(kept)
	if unread != nil || err != nil {
		return m, fmt.Errorf("what was counted before is not known any more; each day, month and licence begins now: %w", errors.Join(unread, err))
	}
	m.state = s
	return m, nil
}

// Reload replaces the configuration, which has been validated, and the licence: nil is none. The slice of a server that is still
// configured stays.
func (m *Meter) Reload(cfg Config, licence *Licence) error {
	zone, err := cfg.zone()
	if err != nil {
		return err
	}
	keys, err := ParseKeys(cfg.Keys)
	if err != nil {
		return err
	}
	m.turning.Lock()
	defer m.turning.Unlock()
	m.mu.Lock()
	m.cfg, m.zone, m.keys, m.licence = cfg, zone, keys, licence
	m.slice = m.keptSlice()
	begun := m.begun
	if !begun && cfg.counts() {
		m.limited.Store(true) // until Begin knows better, what is asked is refused
	}
	m.mu.Unlock()
	if begun {
		m.turn(time.Now())
	}
	wake(m.renewed)
	return nil
}

// counts reports whether the table gives a reason to count.
func (c Config) counts() bool {
	return c.Limits.any() || len(c.Tenant) > 0 || len(c.Keys) > 0 || c.Server.URL != ""
}

// keptSlice reads the slice of the state. The mutex is held.
func (m *Meter) keptSlice() *Licence {
	if m.cfg.Server.URL == "" || m.state.Slice == nil {
		return nil
	}
	l, err := Open(m.state.Slice, m.keys)
	if err != nil || l.place(m.deps.Hostname, m.state.Installation) != nil {
		return nil
	}
	return &l
}

// Begin begins to count, once the counter has what was counted before: after the recovery and before mail is taken. Until then every
// message is refused if there is an allowance.
func (m *Meter) Begin() {
	m.turning.Lock()
	defer m.turning.Unlock()
	m.mu.Lock()
	m.begun = true
	m.mu.Unlock()
	m.turn(time.Now())
}

// Run begins days and months, ends licences, and tells warnings, until ctx is done.
func (m *Meter) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.hurry:
		}
		m.look(time.Now())
	}
}

// look is one turn of Run. Nothing is done while nothing has changed.
func (m *Meter) look(now time.Time) {
	m.turning.Lock()
	m.mu.Lock()
	due := m.begun && m.cfg.counts() && (m.moment != m.momentAt(now) || len(m.warnings) > 0 || m.failed != "")
	m.mu.Unlock()
	if due {
		m.turn(now)
	}
	m.turning.Unlock()
	m.tell()
}

// moment is all that the bounds depend on but for the configuration.
type moment struct {
	day, month string
	licence    phase
	serial     string // of the licence
	slice      string
}

// momentAt is the moment at a time. The mutex is held.
func (m *Meter) momentAt(now time.Time) moment {
	now = now.In(m.zone)
	at := moment{day: now.Format(dayName), month: now.Format(monthName), licence: m.phase(now)}
	if m.licence != nil {
		at.serial = m.licence.Serial
	}
	if m.slice != nil && now.Before(m.slice.Expires) {
		at.slice = m.slice.Serial
	}
	return at
}

// turn brings the state to a time, makes it durable, and puts the bounds in force. If it cannot be made durable the bounds of before stay:
// what is not durable could begin a second time. turning is held.
func (m *Meter) turn(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.begun:
		return
	case !m.cfg.counts():
		m.failed = ""
		m.compose(now)
		return
	}
	now = now.In(m.zone)
	next := m.state.clone()
	lost := next.lost(m.sent(""))
	if lost {
		next.Installation, next.Slice = begin().Installation, nil
	}
	changed := next.turn(now, m.tenants(), m.licenceKey(now), m.sent)
	if m.noteWarned(next) || changed {
		if !m.keep(next) {
			return
		}
	}
	if m.state = next; lost {
		m.slice = nil
		m.say("the count of mail sent was lost; each day, month and licence begins now, and a slice of the licence server is void", nil)
	}
	m.sayPhase(m.momentAt(now))
	m.moment = m.momentAt(now)
	m.compose(now)
}

// keep makes a state durable. The mutex is held, and not while the disk works.
func (m *Meter) keep(s *state) bool {
	m.mu.Unlock()
	err := m.deps.Store(s.encode())
	m.mu.Lock()
	before := m.failed
	if m.failed = ""; err == nil {
		return true
	}
	if m.failed = err.Error(); m.failed != before {
		m.say("the count for the allowance could not be made durable; the limits stay as they were", err)
	}
	return false
}

// say tells the log, outside of the mutex.
func (m *Meter) say(text string, err error) {
	if m.deps.Say != nil {
		m.mu.Unlock()
		m.deps.Say(text, err)
		m.mu.Lock()
	}
}

// sent is a counter for turn.
func (m *Meter) sent(tenant string) uint64 {
	sent, _ := m.deps.Counter.Used(tenant)
	return sent
}

// Reserve keeps room for so many recipients of a message until free is called: when the message is taken, or is not. free is nil when there
// is no allowance. Else why says what is used up, and nothing is kept. Reserve never blocks on I/O.
func (m *Meter) Reserve(tenant string, rcpts int) (free func(), why relay.Reason) {
	if !m.limited.Load() {
		return nil, relay.Reason{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if why := m.unknown(); why.Waits() {
		return nil, why
	}
	n, of := uint64(max(rcpts, 0)), [2]*account{m.accounts[""]}
	if tenant != "" {
		of[1] = m.accounts[tenant]
	}
	for _, a := range of {
		if a == nil {
			continue
		}
		a.read(m.deps.Counter)
		if why := a.refuses(n); why.Waits() {
			return nil, why
		}
	}
	for _, a := range of {
		if a != nil {
			a.reserved += n
			m.watch(a)
		}
	}
	return func() { m.free(of, n) }, relay.Reason{}
}

// unknown says that nobody knows how much is used: before Begin, or while the first state cannot be made durable. The mutex is held.
func (m *Meter) unknown() relay.Reason {
	if m.begun && m.accounts[""] != nil {
		return relay.Reason{}
	}
	text := strings.TrimSuffix("how much of the allowance is used is not known yet: "+m.failed, ": ")
	return relay.WaitFor(relay.ReasonAllowance, "", text, time.Time{})
}

// free gives back what Reserve has kept.
func (m *Meter) free(of [2]*account, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range of {
		if a != nil {
			a.reserved -= n
		}
	}
}
