package relay

import (
	"encoding/binary"
	"time"
	"unique"
)

// Slip is what stands on a message when its door hands it over.
type Slip struct {
	QueueID string // the MTA's queue id, or "" (a short Postfix id is reused quickly: it is for the log, never a key)
	Envelope

	Class   string    // routing class: ClassRemote or ClassInject
	Flow    FlowName  // the mail with which it takes turns
	Rule    string    // the bulk rule that took it
	Client  string    // who gave it to the MTA, "name[address]"
	Arrived time.Time // when its MAIL command came
	Taken   time.Time // when it was accepted

	// Reserved is what the door has reserved for the message in the Budget, in bytes. Accept takes it over; when Accept fails
	// the door still has it.
	Reserved int64
	// Grant has the places that the gate has granted the message; nil: it was not asked. Accept redeems them; when Accept fails the
	// door still has them.
	Grant *Grant
}

// kin is what a message has in common with all others of its flow, or most of them. It is held once. There are few for a flow, so
// that nobody is charged for it.
type kin struct {
	flow             *Flow
	class, rule, ret string
}

// packed is what stands on the slip of one message alone:
//
//	byte flags · string queue id · string client · string sender · flagEnvID: string
//	flagRestored: uvarint the bits of the instant when the message was brought back
//	uvarint number of recipients
//	more than one: 4 bytes for each, where it stands from the end of these bytes on
//	for each: string address · byte what · rcptNotify: string · rcptORcpt: string
//
// A string is its length as uvarint and its bytes. What the methods of Message give is a piece of packed and no copy.
type packed string

// Flags of packed.
const (
	flagUTF8 = 1 << iota
	flagEnvID
	flagRestored
)

// What follows the address of a recipient in packed.
const (
	rcptNotify = 1 << iota
	rcptORcpt
)

// pack lets the message, which is of the given flow, do without its Slip. restored is when the message was brought back; zero: it was
// taken in this start.
func (m *Message) pack(flow *Flow, restored time.Time) {
	s := m.Slip
	m.kin = unique.Make(kin{flow, s.Class, s.Rule, s.Ret})
	if !s.Arrived.IsZero() {
		m.arrived = s.Arrived.UnixNano()
	}
	m.taken, m.born = s.Taken.Sub(s.Arrived), instantOf(s.Arrived)
	if !restored.IsZero() && s.Arrived.After(restored) { // it was taken while the clock was wrong, and counts as new
		m.born = instantOf(restored)
	}
	m.packed = s.pack(instantOf(restored))
	m.Slip = nil
	m.renameNodes()
}

// renameNodes makes the domain of each node a piece of packed, so that the text of the slip is not kept for it.
func (m *Message) renameNodes() {
	for _, n := range m.Nodes {
		if rcpts := n.Rcpts(); len(rcpts) > 0 {
			if d := Domain(m.Rcpt(rcpts[0]).Addr); d == n.Domain {
				n.Domain = d
			}
		}
	}
}

// pack makes the packed form of s.
func (s *Slip) pack(restored instant) packed {
	var room [512]byte
	b := append(room[:0], 0)
	for _, text := range [...]string{s.QueueID, s.Client, s.From} {
		b = appendText(b, text)
	}
	if s.UTF8 {
		b[0] |= flagUTF8
	}
	if s.EnvID != "" {
		b[0] |= flagEnvID
		b = appendText(b, s.EnvID)
	}
	if restored != 0 {
		b[0] |= flagRestored
		b = binary.AppendUvarint(b, uint64(restored))
	}
	return packed(s.appendRcpts(b))
}

func (s *Slip) appendRcpts(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.Rcpts)))
	table := len(b)
	if len(s.Rcpts) > 1 {
		b = append(b, make([]byte, 4*len(s.Rcpts))...)
	}
	first := len(b)
	for i := range s.Rcpts {
		if len(s.Rcpts) > 1 {
			binary.LittleEndian.PutUint32(b[table+4*i:], uint32(len(b)-first))
		}
		b = s.Rcpts[i].append(b)
	}
	return b
}

func (r *Rcpt) append(b []byte) []byte {
	b = appendText(b, r.Addr)
	what := len(b)
	b = append(b, 0)
	if r.Notify != "" {
		b[what] |= rcptNotify
		b = appendText(b, r.Notify)
	}
	if r.ORcpt != "" {
		b[what] |= rcptORcpt
		b = appendText(b, r.ORcpt)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// number reads the number at the beginning, and gives what follows it.
func (p packed) number() (n uint64, rest packed) {
	for i, shift := 0, 0; ; i, shift = i+1, shift+7 {
		n |= uint64(p[i]&0x7f) << shift
		if p[i] < 0x80 {
			return n, p[i+1:]
		}
	}
}

// text reads the string at the beginning, and gives what follows it.
func (p packed) text() (s string, rest packed) {
	n, rest := p.number()
	return string(rest[:n]), rest[n:]
}

// rcpt reads the recipient at the beginning.
func (p packed) rcpt() (r Rcpt) {
	r.Addr, p = p.text()
	what := p[0]
	p = p[1:]
	if what&rcptNotify != 0 {
		r.Notify, p = p.text()
	}
	if what&rcptORcpt != 0 {
		r.ORcpt, _ = p.text()
	}
	return r
}

// heading is what stands before the recipients in packed.
type heading struct {
	queueID, client, from, envID string

	utf8     bool
	restored instant
	rcpts    packed // from the number of recipients on
}

// heading reads what stands before the recipients.
func (p packed) heading() (h heading) {
	flags := p[0]
	h.utf8 = flags&flagUTF8 != 0
	h.queueID, p = p[1:].text()
	h.client, p = p.text()
	h.from, p = p.text()
	if flags&flagEnvID != 0 {
		h.envID, p = p.text()
	}
	if flags&flagRestored != 0 {
		var n uint64
		n, p = p.number()
		h.restored = instant(n)
	}
	h.rcpts = p
	return h
}

// heading is what stands before the recipients. A Slip has its recipients itself.
func (m *Message) heading() heading {
	if s := m.Slip; s != nil {
		return heading{queueID: s.QueueID, client: s.Client, from: s.From, envID: s.EnvID, utf8: s.UTF8}
	}
	return m.packed.heading()
}

// common is what the message has in common with others; of one that has a Slip, the flow is not found yet.
func (m *Message) common() kin {
	if s := m.Slip; s != nil {
		return kin{nil, s.Class, s.Rule, s.Ret}
	}
	return m.kin.Value()
}

// QueueID is the MTA's queue id, or "".
func (m *Message) QueueID() string { return m.heading().queueID }

// Client is who gave the message to the MTA, "name[address]".
func (m *Message) Client() string { return m.heading().client }

// From is the reverse-path, see Envelope.
func (m *Message) From() string { return m.heading().from }

// EnvID is the ENVID parameter, see Envelope.
func (m *Message) EnvID() string { return m.heading().envID }

// UTF8 reports whether the message needs SMTPUTF8, see Envelope.
func (m *Message) UTF8() bool { return m.heading().utf8 }

// restored is when this start brought the message back; zero: it was taken in this start.
func (m *Message) restored() time.Time { return m.heading().restored.time() }

// Ret is the RET parameter, see Envelope.
func (m *Message) Ret() string { return m.common().ret }

// Class is the routing class, ClassRemote or ClassInject.
func (m *Message) Class() string { return m.common().class }

// Rule is the bulk rule that took the message.
func (m *Message) Rule() string { return m.common().rule }

// flow is the Flow of an accepted message.
func (m *Message) flow() *Flow { return m.common().flow }

// Flow names the mail with which the message takes turns.
func (m *Message) Flow() FlowName {
	if m.Slip != nil {
		return m.Slip.Flow
	}
	return m.flow().Name()
}

// RcptCount is the number of recipients.
func (m *Message) RcptCount() int {
	if m.Slip != nil {
		return len(m.Slip.Rcpts)
	}
	n, _ := m.packed.heading().rcpts.number()
	return int(n)
}

// Rcpt is the i-th recipient.
func (m *Message) Rcpt(i int) Rcpt {
	if m.Slip != nil {
		return m.Slip.Rcpts[i]
	}
	n, rest := m.packed.heading().rcpts.number()
	if n == 1 {
		return rest.rcpt()
	}
	at := binary.LittleEndian.Uint32([]byte(rest[4*i:][:4]))
	return rest[4*n+uint64(at):].rcpt()
}

// Rcpts yields the recipients.
func (m *Message) Rcpts(yield func(int, Rcpt) bool) {
	for i := range m.RcptCount() {
		if !yield(i, m.Rcpt(i)) {
			return
		}
	}
}

// Arrived is when the MAIL command of the message came.
func (m *Message) Arrived() time.Time {
	switch {
	case m.Slip != nil:
		return m.Slip.Arrived
	case m.arrived == 0:
		return time.Time{}
	}
	return time.Unix(0, m.arrived)
}

// Taken is when the message was accepted.
func (m *Message) Taken() time.Time {
	if m.Slip != nil {
		return m.Slip.Taken
	}
	return m.Arrived().Add(m.taken)
}
