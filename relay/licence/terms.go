package licence

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/relay"
)

// licenceKey names the licence in force in the state, or is "".
func (m *Meter) licenceKey(now time.Time) string {
	if l := m.holding(now); l != nil {
		return l.Serial
	}
	return ""
}

// holding is the licence if it is in force: its time has begun, and neither it nor its grace is over. The mutex is held.
func (m *Meter) holding(now time.Time) *Licence {
	if p := m.phase(now); p == phaseValid || p == phaseGrace {
		return m.licence
	}
	return nil
}

// phase is how far the life of a licence is.
type phase uint8

const (
	phaseNone phase = iota // there is no licence
	phaseEarly
	phaseValid
	phaseGrace
	phaseOver
	phaseForeign // for another host or installation
)

var phases = [...]string{"none", "not yet valid", "valid", "expired, in grace", "expired", "foreign"}

// phase is that of the licence. The mutex is held.
func (m *Meter) phase(now time.Time) phase {
	switch l := m.licence; {
	case l == nil:
		return phaseNone
	case l.place(m.deps.Hostname, m.state.Installation) != nil:
		return phaseForeign
	case now.Before(l.NotBefore):
		return phaseEarly
	case now.Before(l.Expires):
		return phaseValid
	case now.Before(l.Expires.Add(m.cfg.Grace)):
		return phaseGrace
	}
	return phaseOver
}

// sayPhase tells the log what has become of the licence. The mutex is held.
func (m *Meter) sayPhase(now moment) {
	l := m.licence
	if l == nil || now.licence == m.moment.licence && now.serial == m.moment.serial {
		return
	}
	switch now.licence {
	case phaseValid:
		m.say(fmt.Sprintf("the licence %s of %s is in force until %s", l.Serial, l.Licensee, l.Expires.Format(time.RFC3339)), nil)
	case phaseGrace:
		m.say("the licence "+l.Serial+" stays in force until "+l.Expires.Add(m.cfg.Grace).Format(time.RFC3339), ErrExpired)
	case phaseOver:
		m.say("the licence "+l.Serial+" is not in force any more; mail is taken as [allowance] says without a licence", ErrExpired)
	case phaseEarly:
		m.say("the licence "+l.Serial+" is not in force yet", ErrNotYet)
	case phaseForeign:
		m.say("the licence "+l.Serial+" is not in force", l.place(m.deps.Hostname, m.state.Installation))
	}
}

// limitsBy are the limits of the installation, "", and of tenants.
func limitsBy(all Limits, tenants []TenantConfig) map[string]Limits {
	by := make(map[string]Limits, 1+len(tenants))
	by[""] = all
	for _, t := range tenants {
		by[t.Name] = t.Limits
	}
	return by
}

// tenants are all that have an allowance, and the installation, "". The mutex is held.
func (m *Meter) tenants() []string {
	all := limitsBy(m.cfg.Limits, m.cfg.Tenant)
	if m.licence != nil {
		maps.Copy(all, limitsBy(m.licence.Limits, m.licence.Tenants))
	}
	return slices.Collect(maps.Keys(all))
}

// compose puts in force the bounds that the configuration and the licences set at a time. The smaller one of two bounds decides, because
// each must hold. The mutex is held.
func (m *Meter) compose(now time.Time) {
	accounts, warned := make(map[string]*account, len(m.accounts)), m.warned()
	bounded := false
	l, own, licensed := m.holding(now), limitsBy(m.cfg.Limits, m.cfg.Tenant), map[string]Limits(nil)
	if l != nil {
		licensed = limitsBy(l.Limits, l.Tenants)
	}
	for _, tenant := range m.tenants() {
		a := m.accounts[tenant]
		if a == nil {
			a = &account{tenant: tenant}
		}
		a.bounds, a.refusing = m.boundsOf(tenant, own[tenant], l, licensed[tenant], now), relay.Reason{}
		for i := range a.bounds {
			mark := a.bounds[i].mark(tenant)
			a.bounds[i].warned = max(m.state.Warned[mark], warned[mark])
		}
		accounts[tenant] = a
		bounded = bounded || len(a.bounds) > 0
	}
	for tenant, a := range m.accounts { // a message that was asked about frees what it has reserved here
		if accounts[tenant] == nil && a.reserved > 0 {
			a.bounds, a.refusing = nil, relay.Reason{}
			accounts[tenant] = a
		}
	}
	m.accounts = accounts
	m.limited.Store(bounded)
}

// boundsOf are the bounds of one tenant: by its own limits, and by the licence in force, which may be nil, and its limits. The mutex is
// held.
func (m *Meter) boundsOf(tenant string, own Limits, l *Licence, licensed Limits, now time.Time) []bound {
	bounds := m.spread(own, tenant, "allowance", SpanTotal, 0, now)
	if l != nil {
		if tenant == "" && l.Ceiling > 0 { // a slice that was installed as a licence
			bounds = append(bounds, bound{span: SpanSlice, by: "licence " + l.Serial, most: l.Ceiling, period: l.Serial})
		}
		bounds = append(bounds, m.spread(licensed, tenant, "licence "+l.Serial, SpanLicence, m.state.licenceBase(l.Serial, tenant), now)...)
	}
	if tenant == "" {
		bounds = append(bounds, m.extra(l, now)...)
	}
	return bounds
}

// extra is the bound of the installation's slice, or of its evaluation. l is the licence in force. The mutex is held.
func (m *Meter) extra(l *Licence, now time.Time) []bound {
	served := m.cfg.Server.URL != ""
	switch s := m.slice; {
	case served && s != nil && now.Before(s.Expires):
		return []bound{{span: SpanSlice, by: "licence server", most: s.Ceiling, period: s.Serial}}
	case !served && l != nil:
		return nil
	case m.cfg.Evaluation > 0:
		return []bound{{span: SpanEvaluation, by: "allowance", most: m.cfg.Evaluation, base: m.state.Evaluation[""]}}
	case served:
		return []bound{{span: SpanSlice, by: "licence server", closed: "the licence server " + m.cfg.Server.URL + " has given no slice that holds now"}}
	}
	return nil
}

// spread makes the bounds of limits. total and base are those of Limits.Total.
func (m *Meter) spread(l Limits, tenant, by string, total Span, base uint64, now time.Time) (bounds []bound) {
	day, month := begins(now)
	for _, b := range []bound{
		{span: SpanDay, most: l.Day, base: m.state.Day.base(tenant), period: m.state.Day.Now, resets: day},
		{span: SpanMonth, most: l.Month, base: m.state.Month.base(tenant), period: m.state.Month.Now, resets: month},
		{span: total, most: l.Total, base: base},
	} {
		if b.by = by; b.most > 0 {
			bounds = append(bounds, b)
		}
	}
	return bounds
}

// watch notes a warning for each bound that has come to a new level. The mutex is held.
func (m *Meter) watch(a *account) {
	for i := range a.bounds {
		b := &a.bounds[i]
		if b.span == SpanSlice && a.sent+a.pending() > m.askAt {
			m.askAt = b.most // once for each slice; then at its regular times
			wake(m.thirst)
		}
		level := b.level(b.used(a.sent) + a.pending())
		if level <= b.warned {
			continue
		}
		b.warned = level
		m.warnings = append(m.warnings, Warning{
			Tenant: a.tenant, Span: b.span, By: b.by, Percent: level, Used: b.used(a.sent), Left: a.pending(), Limit: b.most, Resets: b.resets,
		})
		wake(m.hurry)
	}
}

// wake has a goroutine look soon.
func wake(hurry chan struct{}) {
	select {
	case hurry <- struct{}{}:
	default:
	}
}

// warned are the levels that the bounds in force have come to. The mutex is held.
func (m *Meter) warned() map[string]int {
	warned := make(map[string]int)
	for tenant, a := range m.accounts {
		for i := range a.bounds {
			if b := &a.bounds[i]; b.warned > 0 {
				warned[b.mark(tenant)] = b.warned
			}
		}
	}
	return warned
}

// noteWarned notes in a state the levels that bounds have come to, and forgets those of bounds that are over. It reports whether there are
// new ones. The mutex is held.
func (m *Meter) noteWarned(s *state) bool {
	if len(m.accounts) > 0 { // else nothing is in force yet
		s.Warned = m.warned()
	}
	return len(m.warnings) > 0
}

// tell tells the warnings that were noted.
func (m *Meter) tell() {
	m.mu.Lock()
	warnings := m.warnings
	m.warnings = nil
	m.mu.Unlock()
	if m.deps.Warn == nil {
		return
	}
	for _, w := range warnings {
		m.deps.Warn(w)
	}
}

// String is the warning as the log has it.
func (w Warning) String() string {
	whose := "the allowance"
	if w.Tenant != "" {
		whose = "the allowance of tenant " + w.Tenant
	}
	return fmt.Sprintf("%s (%s, %s): %d %% of %d recipients is used", whose, w.By, cmp.Or(spans[w.Span].words, w.Span.String()), w.Percent, w.Limit)
}
