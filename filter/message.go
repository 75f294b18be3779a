package filter

import (
	"slices"

	"github.com/millrace/millrace/relay"
)

// newMessage builds the Message for the heart.
func (m *Mail) newMessage(protocol string) *relay.Message {
	s := &relay.Slip{
		QueueID: m.queueID, Envelope: m.envelope, Flow: m.flow(), Rule: m.verdict.Rule, Client: m.client.of(&m.offer), Arrived: m.arrived,
		Reserved: m.charged, Grant: m.grant,
	}
	s.Rcpts = m.rcpts.envelope()
	s.Distinct()
	s.UTF8 = m.envelope.UTF8 && needsUTF8(&s.Envelope, m.content.header)
	msg := &relay.Message{ID: m.intake.deps.NewID(), Slip: s}
	msg.Content = m.content.lend(m.filter, m.trace(msg, protocol))
	return msg
}

// Outline is the message as a notification about it needs it: all recipients in the order of RCPT, whether they could be taken or not,
// and of the content the header as far as it is kept. It is nil when nobody can tell where a notification would go.
func (m *Mail) Outline(sender Command, rcpts []Command) *relay.Message {
	s := &relay.Slip{QueueID: m.queueID, Client: m.client.of(&m.offer), Arrived: m.arrived}
	for _, p := range sender.Params {
		setMailParam(&s.Envelope, new(Offer), p)
	}
	fault := ""
	if s.From, fault = sender.Canonical(s.UTF8); fault != "" {
		return nil
	}
	for _, c := range rcpts {
		r := relay.Rcpt{Addr: c.Path}
		for _, p := range c.Params {
			setRcptParam(&r, p, s.UTF8)
		}
		s.Rcpts = append(s.Rcpts, r)
	}
	return &relay.Message{ID: m.intake.deps.NewID(), Slip: s, Content: relay.NewContent(relay.Letter{Header: slices.Clone(m.content.header)})}
}

// flow is with which mail the message takes turns, once a rule takes it.
func (m *Mail) flow() relay.FlowName {
	if !m.flowing {
		flow := flowOf(m.content.header, m.envelope.From)
		flow.Tenant, flow.Urgent = m.tenants.owner(&m.offer, m.content.header), m.verdict.rule.urgent
		m.flowName, m.flowing = flow, true
	}
	return m.flowName
}

// needsUTF8 reports whether only a receiver with SMTPUTF8 can take the message (RFC 6531 section 3.2, as Postfix decides).
// Libraries ask for SMTPUTF8 whenever the MTA offers it, so the client's wish alone must not cost a delivery. A domain in
// UTF-8 is no need, because it goes out as A-labels.
func needsUTF8(e *relay.Envelope, header []byte) bool {
	return hasEightBit(header) || localInUTF8(e.From) ||
		slices.ContainsFunc(e.Rcpts, func(r relay.Rcpt) bool { return localInUTF8(r.Addr) || hasEightBit([]byte(r.ORcpt)) })
}

func localInUTF8(addr string) bool {
	return hasEightBit([]byte(addr[:len(addr)-len(relay.Domain(addr))]))
}

// trace is what our Received field says. It names a recipient only when the message has no other, and only in ASCII unless the
// message needs SMTPUTF8 anyway: the field must not be what makes a header 8-bit.
func (m *Mail) trace(msg *relay.Message, protocol string) Trace {
	t := Trace{
		Helo: m.offer.Helo, ClientName: m.offer.ClientName, ClientAddr: m.offer.ClientAddr,
		Protocol: protocol, ID: msg.Name(), Date: m.arrived,
	}
	if addr := m.rcpts[0].Addr; len(m.rcpts) == 1 && (msg.UTF8() || !hasEightBit([]byte(addr))) {
		t.For = addr
	}
	return t
}

// UTF8 reports whether the client asked for SMTPUTF8.
func (m *Mail) UTF8() bool { return m.envelope.UTF8 }
