package filter

import (
	"bytes"

	"github.com/millrace/millrace/relay"
)

// newMessage builds the Message for the heart.
func (m *Mail) newMessage(protocol string) *relay.Message {
	msg := &relay.Message{
		ID: m.intake.deps.NewID(), QueueID: m.queueID, Envelope: m.envelope,
		Rule: m.verdict.Rule, Client: m.offer.Client(), Arrived: m.arrived,
	}
	msg.Rcpts = m.ourRcpts()
	msg.Distinct()
	trace := m.filter.Received(m.trace(msg, protocol))
	// One allocation for both: they live and die together.
	head := append(append(make([]byte, 0, len(trace)+len(m.header)), trace...), m.header...)
	msg.Trace, msg.Header = head[:len(trace):len(trace)], head[len(trace):]
	msg.Body = m.ownBody()
	msg.EightBit = hasEightBit(msg.Header) || hasEightBit(msg.Body)
	return msg
}

func (m *Mail) ourRcpts() []relay.Rcpt {
	rcpts := make([]relay.Rcpt, 0, m.countOurs())
	for i := range m.rcpts {
		if m.rcpts[i].ours {
			rcpts = append(rcpts, m.rcpts[i].Rcpt)
		}
	}
	return rcpts
}

// trace is what our Received field says. It names a recipient only when the message has no other.
func (m *Mail) trace(msg *relay.Message, protocol string) Trace {
	t := Trace{
		Helo: m.offer.Helo, ClientName: m.offer.ClientName, ClientAddr: m.offer.ClientAddr,
		Protocol: protocol, ID: msg.Name(), Date: m.arrived,
	}
	if len(m.rcpts) == 1 {
		t.For = m.rcpts[0].Addr
	}
	return t
}

// UTF8 reports whether the client asked for SMTPUTF8.
func (m *Mail) UTF8() bool { return m.envelope.UTF8 }

// ownBody is the body without much room behind it: it may stay in memory for days.
func (m *Mail) ownBody() []byte {
	if waste := cap(m.body) - len(m.body); waste > len(m.body)/4 {
		return bytes.Clone(m.body)
	}
	return m.body
}
