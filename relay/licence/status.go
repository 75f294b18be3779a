package licence

import (
	"cmp"
	"slices"
	"time"

	"github.com/millrace/millrace/relay"
)

// Status is the allowance in numbers.
type Status struct {
	Installation string  // its id, drawn once; "": nothing was ever counted
	Usage        []Usage // of each bound in force: the installation's first, then those of tenants, the fullest first
	Licence      *Licence
	Phase        string    // of the licence: "none", "valid", "expired, in grace" and so on
	GraceUntil   time.Time // the licence is in force until then
	Slice        *Licence  // of the licence server, while it holds
	Server       string    // the licence server's address; "": there is none
	ServerError  string    // why it did not answer when last asked; "": it did
	ServerAt     time.Time // when it answered last; zero: not since the start
	StoreError   string    // why the count could not be made durable; "": it could

	// Refusing is why the last messages were left with the MTA, of the installation and of tenants, if they were.
	Refusing []relay.Reason
}

// Usage is how much of one bound is used.
type Usage struct {
	Tenant string // "": the installation
	Span   Span
	By     string // who sets the bound
	Used   uint64 // recipients sent
	Left   uint64 // recipients taken and not settled, and those of messages that are being taken
	Limit  uint64
	Resets time.Time // zero: never
	Full   string    // why the last message was left with the MTA, if it was for this account; "": it was not
}

// Status is the allowance as it is now.
func (m *Meter) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s := Status{Licence: m.licence, Phase: phases[m.phase(now)], Server: m.cfg.Server.URL, StoreError: m.failed, ServerError: m.asked.failure, ServerAt: m.asked.at}
	if m.cfg.counts() {
		s.Installation = m.state.Installation
	}
	if m.licence != nil {
		s.GraceUntil = m.licence.Expires.Add(m.cfg.Grace)
	}
	if m.slice != nil && now.Before(m.slice.Expires) {
		s.Slice = m.slice
	}
	for _, a := range m.accounts {
		s.Usage = append(s.Usage, m.usage(a)...)
		if a.refusing.Waits() {
			s.Refusing = append(s.Refusing, a.refusing)
		}
	}
	if why := m.unknown(); why.Waits() && m.limited.Load() {
		s.Refusing = append(s.Refusing, why)
	}
	slices.SortFunc(s.Refusing, func(a, b relay.Reason) int { return cmp.Compare(a.Who, b.Who) })
	slices.SortFunc(s.Usage, func(a, b Usage) int {
		return cmp.Or(-cmp.Compare(first(a), first(b)), -cmp.Compare(a.part(), b.part()), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Span, b.Span))
	})
	return s
}

// usage is that of one account. The mutex is held.
func (m *Meter) usage(a *account) (all []Usage) {
	if m.begun {
		a.read(m.deps.Counter)
	}
	for i := range a.bounds {
		if b := &a.bounds[i]; b.closed == "" {
			all = append(all, Usage{
				Tenant: a.tenant, Span: b.span, By: b.by, Used: b.used(a.sent), Left: a.pending(), Limit: b.most, Resets: b.resets, Full: a.refusing.Text,
			})
		}
	}
	return all
}

// first puts the installation before tenants.
func first(u Usage) int {
	if u.Tenant == "" {
		return 1
	}
	return 0
}

// part is the part of the limit that is used, what is on its way included.
func (u Usage) part() float64 { return float64(u.Used+u.Left) / float64(u.Limit) }
