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

// kin is what a message has in common with most others of its campaign. It is held once.
type kin struct {
	flow                     *Flow
	class, rule, client, ret string
}

// packed is what stands on the slip of one message alone:
//
//	byte flags · string queue id · string sender · flagEnvID: string
//	flagRestored: varint when the message was brought back, see Message.restored
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
	m.kin = unique.Make(kin{flow, s.Class, s.Rule, s.Client, s.Ret})
	m.arrived, m.taken, m.born = s.Arrived.UnixNano(), s.Taken.Sub(s.Arrived), instantOf(s.Arrived)
	if s.Arrived.IsZero() {
		m.arrived = 0
	}
	if !restored.IsZero() && s.Arrived.After(restored) { // it was taken while the clock was wrong, and counts as new
		m.born = instantOf(restored)
	}
	m.packed = s.pack(instantOf(restored))
	m.Slip = nil
}

// pack makes the packed form of s.
func (s *Slip) pack(restored instant) packed {
	var room [512]byte
	b := append(room[:0], s.flags(restored))
	b = appendText(appendText(b, s.QueueID), s.From)
	if s.EnvID != "" {
		b = appendText(b, s.EnvID)
	}
	if restored != 0 {
		b = binary.AppendVarint(b, int64(restored))
	}
	return packed(s.appendRcpts(b))
}

func (s *Slip) flags(restored instant) (f byte) {
	if s.UTF8 {
		f |= flagUTF8
	}
	if s.EnvID != "" {
		f |= flagEnvID
	}
	if restored != 0 {
		f |= flagRestored
	}
	return f
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

// rcpts gives what stands from the number of recipients on.
func (p packed) rcpts() packed {
	flags := p[0]
	_, p = p[1:].text()
	_, p = p.text()
	if flags&flagEnvID != 0 {
		_, p = p.text()
	}
	if flags&flagRestored != 0 {
		_, p = p.number()
	}
	return p
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

// QueueID is the MTA's queue id, or "".
func (m *Message) QueueID() string {
	if m.Slip != nil {
		return m.Slip.QueueID
	}
	id, _ := m.packed[1:].text()
	return id
}

// From is the reverse-path, see Envelope.
func (m *Message) From() string {
	if m.Slip != nil {
		return m.Slip.From
	}
	_, rest := m.packed[1:].text()
	from, _ := rest.text()
	return from
}

// EnvID is the ENVID parameter, see Envelope.
func (m *Message) EnvID() string {
	if m.Slip != nil {
		return m.Slip.EnvID
	}
	if m.packed[0]&flagEnvID == 0 {
		return ""
	}
	_, rest := m.packed[1:].text()
	_, rest = rest.text()
	id, _ := rest.text()
	return id
}

// UTF8 reports whether the message needs SMTPUTF8, see Envelope.
func (m *Message) UTF8() bool {
	if m.Slip != nil {
		return m.Slip.UTF8
	}
	return m.packed[0]&flagUTF8 != 0
}

// Ret is the RET parameter, see Envelope.
func (m *Message) Ret() string {
	if m.Slip != nil {
		return m.Slip.Ret
	}
	return m.kin.Value().ret
}

// RcptCount is the number of recipients.
func (m *Message) RcptCount() int {
	if m.Slip != nil {
		return len(m.Slip.Rcpts)
	}
	n, _ := m.packed.rcpts().number()
	return int(n)
}

// Rcpt is the i-th recipient.
func (m *Message) Rcpt(i int) Rcpt {
	if m.Slip != nil {
		return m.Slip.Rcpts[i]
	}
	n, rest := m.packed.rcpts().number()
	if n == 1 {
		return rest[:].rcpt()
	}
	entry := rest[4*i:]
	at := uint32(entry[0]) | uint32(entry[1])<<8 | uint32(entry[2])<<16 | uint32(entry[3])<<24
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

// Class is the routing class, ClassRemote or ClassInject.
func (m *Message) Class() string {
	if m.Slip != nil {
		return m.Slip.Class
	}
	return m.kin.Value().class
}

// Rule is the bulk rule that took the message.
func (m *Message) Rule() string {
	if m.Slip != nil {
		return m.Slip.Rule
	}
	return m.kin.Value().rule
}

// Client is who gave the message to the MTA, "name[address]".
func (m *Message) Client() string {
	if m.Slip != nil {
		return m.Slip.Client
	}
	return m.kin.Value().client
}

// Flow names the mail with which the message takes turns.
func (m *Message) Flow() FlowName {
	if m.Slip != nil {
		return m.Slip.Flow
	}
	return m.flow().Name()
}

// flow is the Flow of an accepted message.
func (m *Message) flow() *Flow { return m.kin.Value().flow }

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

// restored is when this start brought the message back; zero: it was taken in this start.
func (m *Message) restored() time.Time {
	if m.Slip != nil || m.packed[0]&flagRestored == 0 {
		return time.Time{}
	}
	_, p := m.packed[1:].text()
	_, p = p.text()
	if m.packed[0]&flagEnvID != 0 {
		_, p = p.text()
	}
	n, _ := p.number()
	return instant(int64(n>>1) ^ -int64(n&1)).time()
}
