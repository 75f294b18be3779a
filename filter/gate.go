package filter

import (
	"slices"

	"github.com/millrace/millrace/relay"
)

// AskGate asks whether there is room for a message that is bulk, and may let the door's reply wait for it. The door calls it behind
// EndHeader, before the body. Recipients for whom there is no room stay with the MTA; if all do, the message is left, and Refused says
// whether the MTA must refuse it. obstacle is that of EndHeader: it is asked again when only some recipients stay.
func (m *Mail) AskGate(k Keeper, obstacle func() string) {
	gate := m.intake.deps.Gate
	if gate == nil || m.left != "" {
		return
	}
	m.whole = m.rcpts.ours() == len(m.rcpts)
	domains, of := m.domains()
	tenant, rcpts := m.flow().Tenant, m.rcpts.ours()
	ask := func() *relay.Grant { return gate.AskFor(tenant, domains, rcpts) }
	m.grant = m.intake.hold.ask(gate, k, m.intake.sessions.Load(), ask, m.witnessHeld)
	var why relay.Reason
	for i, r := range of {
		if r >= 0 && m.grant.Refuses(r) {
			m.rcpts[i].ours, why = false, m.grant.Why(r)
		}
	}
	switch {
	case !why.Waits():
	case m.rcpts.ours() == 0:
		m.overflow(why, m.grant.Overflow(), k)
	default:
		m.grant.Overflow()
		m.witnessSome(why, of)
		if reason := obstacle(); reason != "" {
			m.Leave(reason)
		}
	}
}

// RcptHasRoom reports false when the recipient that was added last belongs to a message that is bulk for certain, and there is no room
// for him at his site and will be none soon. A door whose client keeps its mail refuses him at once: the other recipients need not
// wait with him. All other mail is asked about at the end of its header.
func (m *Mail) RcptHasRoom() bool {
	gate := m.intake.deps.Gate
	if gate == nil || !m.certain || m.left != "" || m.intake.Observing() || !m.LastTaken() {
		return true
	}
	grant := gate.Ask("", []string{relay.Domain(m.rcpts[len(m.rcpts)-1].Addr)})
	defer grant.Release()
	return !grant.Refuses(0) || grant.Waits() != relay.Enough || lasting(grant.Why(0))
}

// Room asks for a place for one more message to domain, or to any one if domain is "". The caller gives the place back with Release. ok is
// false while there is none.
func (in *Intake) Room(domain string) (place *relay.Grant, ok bool) {
	gate := in.deps.Gate
	if gate == nil {
		return nil, true
	}
	domains := []string{domain}
	if domain == "" {
		domains = nil
		if why := gate.Shut(); why.Waits() {
			return nil, false
		}
	}
	place = gate.Ask("", domains)
	if domain != "" && place.Refuses(0) {
		place.Release()
		return nil, false
	}
	return place, true
}

// leaveShut leaves a message that is known to be bulk at MAIL, while no mail at all is taken.
func (m *Mail) leaveShut() {
	if gate := m.intake.deps.Gate; gate != nil && !m.intake.Observing() {
		if why := gate.Shut(); why.Waits() {
			m.leaveFor(causeOf(why), leftText(why))
			m.lasting = lasting(why)
		}
	}
}

// overflow leaves the message, or has the MTA refuse it: as the rule or the gate's table says, or because enough was left. Mail that did
// not come by SMTP is never refused: the MTA would try it again and again, all other such mail behind it.
func (m *Mail) overflow(why relay.Reason, state relay.GateState, k Keeper) {
	m.leaveFor(causeOf(why), leftText(why))
	m.lasting = lasting(why)
	m.refused = (m.overflowWay() == relay.OverflowTempfail || state == relay.GateTempfail) && k.Patience() > 0 && why.Kind != relay.ReasonAllowance
	if m.refused {
		m.intake.counts.refused.Add(1)
	}
}

// lasting reports that mail must not wait for what refuses it: the end of a drain, or of a month whose allowance is used up, may be further
// away than the client or the MTA keeps mail, which would then be returned to its sender. The MTA delivers it now.
func lasting(why relay.Reason) bool {
	return why.Kind == relay.ReasonDrain || why.Kind == relay.ReasonAllowance
}

// overflowWay is what becomes of the message when there is no room for it: as its rule says, or the gate's table.
func (m *Mail) overflowWay() string {
	if rule := m.verdict.rule; rule != nil && rule.overflow != "" {
		return rule.overflow
	}
	return m.intake.deps.Gate.Config().Overflow
}

// ReturnField is the header field by which the MTA knows a message that it must keep and offer to our SMTP listener. It is ours, and that
// listener takes it out.
const ReturnField = "X-Millrace-Overflow"

// Returns reports that the message is left for want of room, and that the MTA shall keep it and offer it again. A message with a recipient
// who is not ours is not of this kind: he would wait for our room.
func (m *Mail) Returns() bool {
	return m.whole && m.left != "" && !m.refused && !m.lasting && (m.cause == CauseGate || m.cause == CauseFull) && m.overflowWay() == relay.OverflowReturn
}

// OverAllowance reports that the message is left because the allowance is used up. A door without an MTA behind it asks its client to try
// again: a refusal for good would have the mail returned.
func (m *Mail) OverAllowance() bool { return m.left != "" && m.cause == CauseAllowance }

// Refused reports that the MTA must refuse the message that is left, with a temporary failure.
func (m *Mail) Refused() bool { return m.refused }

// leftText is a reason of the gate as the log has it.
func leftText(why relay.Reason) string {
	if why.Kind == relay.ReasonAllowance {
		return why.Text // it is no want of room
	}
	return leftGate + why.Text
}

// causeOf sorts a reason of the gate.
func causeOf(why relay.Reason) Cause {
	switch {
	case why.Kind == relay.ReasonMemory && why.Who == "":
		return CauseFull
	case why.Kind == relay.ReasonAllowance:
		return CauseAllowance
	}
	return CauseGate
}

// domains lists the domains of those recipients that may be taken, each once, and says for each recipient which of them is its: -1 for
// one that may not be taken.
func (m *Mail) domains() (domains []string, of []int) {
	rs := m.rcpts
	if len(rs) == 1 && rs[0].ours { // as most have it
		m.domain[0], m.of[0] = relay.Domain(rs[0].Addr), 0
		return m.domain[:], m.of[:]
	}
	of = make([]int, len(rs))
	index := make(map[string]int, 1)
	for i := range rs {
		if of[i] = -1; !rs[i].ours {
			continue
		}
		d := relay.Domain(rs[i].Addr)
		at, known := index[d]
		if !known {
			at = len(domains)
			index[d] = at
			domains = append(domains, d)
		}
		of[i] = at
	}
	return slices.Clip(domains), of
}
