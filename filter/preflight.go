package filter

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter/preflight"
	"github.com/millrace/millrace/relay"
)

// PreflightConfig is the [preflight] table.
type PreflightConfig struct {
	Enabled bool     `toml:"enabled"` // false: no campaign is examined
	Refuse  []string `toml:"refuse"`  // codes of faults: a campaign that has one is left with the MTA
}

// DefaultPreflightConfig is the table that an empty file has.
func DefaultPreflightConfig() PreflightConfig { return PreflightConfig{Enabled: true} }

// Validate returns the first mistake. The error begins with its key.
func (c PreflightConfig) Validate() error {
	for i, code := range c.Refuse {
		if known := preflight.Codes(); !slices.Contains(known, code) {
			return fmt.Errorf("refuse[%d]: %q is the code of no fault; the codes are %s", i, code, strings.Join(known, ", "))
		}
	}
	return nil
}

// NoteFault is told of a fault of a campaign, once for each campaign and fault within a day. It must not block.
type NoteFault func(relay.FlowName, preflight.Fault)

const (
	// maxCampaigns is how many campaigns are known to be examined.
	maxCampaigns = 10_000
	// examineAgain is when a campaign that goes on is examined again.
	examineAgain = 24 * time.Hour
	// maxTold is how many campaigns a minute have their faults in the log: some senders give each message a List-Id of its own.
	maxTold = 60
)

// Preflight examines the first message of each campaign. All doors share one. A nil Preflight examines nothing.
//
// A campaign is forgotten after a day, or when its place is needed. One that is left with the MTA is examined with each message, so that
// it is taken from the first good message on.
type Preflight struct {
	log     hclog.Logger
	note    NoteFault // nil: nobody is told
	cfg     atomic.Pointer[PreflightConfig]
	machine atomic.Pointer[[]preflight.Fault] // of all campaigns

	mu      sync.RWMutex
	seen    map[relay.FlowName]campaignSeen
	order   []relay.FlowName // of seen, a ring: the one at next has been there for longest
	next    int
	minute  time.Time // in which told were told
	told    int
	skipped int // campaigns that were not told
}

// campaignSeen is what is remembered of a campaign.
type campaignSeen struct {
	until time.Time // when it is examined again
	codes string    // the faults that were told
	large bool      // its size was told too
	left  string    // the code of the fault for which it is left; "": it is taken
}

// NewPreflight returns a Preflight that knows no campaign. cfg has been validated.
func NewPreflight(cfg PreflightConfig, log hclog.Logger, note NoteFault) *Preflight {
	p := &Preflight{log: log, note: note, seen: make(map[relay.FlowName]campaignSeen)}
	p.cfg.Store(&cfg)
	p.machine.Store(new([]preflight.Fault))
	return p
}

// SetConfig replaces the configuration, which has been validated.
func (p *Preflight) SetConfig(cfg PreflightConfig) {
	if old := p.cfg.Swap(&cfg); old.Enabled != cfg.Enabled || !slices.Equal(old.Refuse, cfg.Refuse) {
		p.forget()
	}
}

// SetMachine replaces the faults that each campaign has because of the machine. If they have changed, all campaigns are examined anew.
func (p *Preflight) SetMachine(all []preflight.Fault) {
	if old := p.machine.Swap(&all); slices.Equal(*old, all) {
		return
	}
	for _, f := range all {
		p.log.Warn("receivers will distrust all mail: "+f.Text, "code", f.Code, "repair", f.Repair)
	}
	p.forget()
}

// forget forgets all campaigns.
func (p *Preflight) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.seen)
	p.order, p.next = nil, 0
}

// known reports whether a message of the campaign need not be examined. It is what a later message of a campaign costs.
func (p *Preflight) known(flow relay.FlowName, now time.Time) bool {
	if p == nil || !p.cfg.Load().Enabled {
		return true
	}
	p.mu.RLock()
	s, ok := p.seen[flow]
	p.mu.RUnlock()
	return ok && s.left == "" && now.Before(s.until)
}

// Examine examines a message of a campaign, and returns the code of the fault for which the campaign is left with the
// MTA, or "".
func (p *Preflight) Examine(flow relay.FlowName, l preflight.Letter) (left string) {
	return p.judge(flow, append(preflight.Examine(l), *p.machine.Load()...), l.Time)
}

// judge notes the faults of a campaign, tells them if they are news, and returns the code of the fault for which it is left, or "".
func (p *Preflight) judge(flow relay.FlowName, all []preflight.Fault, now time.Time) (left string) {
	refuse := p.cfg.Load().Refuse
	if i := slices.IndexFunc(all, func(f preflight.Fault) bool { return slices.Contains(refuse, f.Code) }); i >= 0 {
		left = all[i].Code
	}
	news, loud, skipped := p.remember(flow, campaignSeen{until: now.Add(examineAgain), codes: codesOf(all), left: left}, now)
	if !news {
		return left
	}
	for _, f := range all {
		if p.note != nil {
			p.note(flow, f)
		}
	}
	if loud && len(all) > 0 {
		p.tell(flow, all, left, skipped)
	}
	return left
}

// addSize notes the fault of size of a campaign that was examined just now without it, as judge does.
func (p *Preflight) addSize(flow relay.FlowName, f preflight.Fault, now time.Time) (left string) {
	if slices.Contains(p.cfg.Load().Refuse, f.Code) {
		left = f.Code
	}
	if news, loud, skipped := p.rememberSize(flow, left, now); news {
		if p.note != nil {
			p.note(flow, f)
		}
		if loud {
			p.tell(flow, []preflight.Fault{f}, left, skipped)
		}
	}
	return left
}

// rememberSize notes that a campaign has the fault of size, as remember does.
func (p *Preflight) rememberSize(flow relay.FlowName, left string, now time.Time) (news, loud bool, skipped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, known := p.seen[flow]
	if !known {
		return false, false, 0
	}
	news = !s.large
	s.large, s.left = true, left
	p.seen[flow] = s
	if news {
		loud, skipped = p.mayTell(now)
	}
	return news, loud, skipped
}

// remember notes a campaign. news is false if its faults were told within a day. loud says that the log may have them, and skipped how
// many campaigns before it did not.
func (p *Preflight) remember(flow relay.FlowName, s campaignSeen, now time.Time) (news, loud bool, skipped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, known := p.seen[flow]
	if known && old.codes == s.codes && now.Before(old.until) {
		s.until, s.large = old.until, old.large
		p.seen[flow] = s
		return false, false, 0
	}
	if !known {
		flow.Tenant, flow.Name, flow.Sender = strings.Clone(flow.Tenant), strings.Clone(flow.Name), strings.Clone(flow.Sender)
		p.enter(flow)
	}
	p.seen[flow] = s
	loud, skipped = p.mayTell(now)
	return true, loud, skipped
}

// mayTell reports whether the log may have the faults of one more campaign, and how many campaigns before it are not in the log. The
// mutex is held.
func (p *Preflight) mayTell(now time.Time) (loud bool, skipped int) {
	if now.Sub(p.minute) >= time.Minute {
		p.minute, p.told = now, 0
	}
	if p.told++; p.told > maxTold {
		p.skipped++
		return false, 0
	}
	skipped, p.skipped = p.skipped, 0
	return true, skipped
}

// enter gives a new campaign a place, that of the oldest if there is none. The mutex is held.
func (p *Preflight) enter(flow relay.FlowName) {
	if len(p.order) < maxCampaigns {
		p.order = append(p.order, flow)
		return
	}
	delete(p.seen, p.order[p.next])
	p.order[p.next] = flow
	p.next = (p.next + 1) % maxCampaigns
}

// tell logs the faults of a campaign.
func (p *Preflight) tell(flow relay.FlowName, all []preflight.Fault, left string, skipped int) {
	line := []any{"campaign", flow.Name, "sender", flow.Sender, "tenant", flow.Tenant, "codes", codesOf(all)}
	for _, f := range all {
		line = append(line, f.Code, f.Text+"; "+f.Repair)
	}
	if skipped > 0 {
		line = append(line, "campaigns_before", skipped)
	}
	if left != "" {
		p.log.Warn("a campaign is left with the MTA for what receivers refuse", append(line, "because", left)...)
		return
	}
	p.log.Warn("a campaign has what receivers refuse or distrust", line...)
}

// codesOf lists codes.
func codesOf(all []preflight.Fault) string {
	codes := make([]string, len(all))
	for i, f := range all {
		codes[i] = f.Code
	}
	return strings.Join(codes, " ")
}

// leftPreflight is why a message of a campaign is left that has a fault for which it must be; the code follows.
const leftPreflight = "preflight: "

// examine examines the message if it is the first of its campaign, and leaves it if its campaign must be. In observe mode it leaves
// nothing. The size of the message may not be known yet: see examineSize.
func (m *Mail) examine() {
	p, flow := m.intake.deps.Preflight, m.campaign()
	if p.known(flow, m.arrived) {
		return
	}
	m.examined = m.offer.Size == 0
	left := p.Examine(flow, preflight.Letter{
		Header: m.content.header, Size: m.offer.Size, UTF8: m.envelope.UTF8, Urgent: m.verdict.rule.urgent, Time: m.arrived,
	})
	m.leaveUnfit(left)
}

// examineSize examines the size of a message that was examined without.
func (m *Mail) examineSize() {
	if !m.examined || m.left != "" {
		return
	}
	for _, f := range preflight.ExamineSize(int64(len(m.content.header) + len("\r\n") + len(m.content.body))) {
		m.leaveUnfit(m.intake.deps.Preflight.addSize(m.campaign(), f, m.arrived))
	}
}

// leaveUnfit leaves the message for the fault with this code; "": it has none.
func (m *Mail) leaveUnfit(code string) {
	if code != "" && !m.intake.Observing() {
		m.leaveFor(CausePreflight, leftPreflight+code)
	}
}

// campaign is the identity of the campaign: its lane is no part of it.
func (m *Mail) campaign() relay.FlowName {
	flow := m.flow()
	flow.Urgent = false
	return flow
}
