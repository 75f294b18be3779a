package snapshot

import (
	"encoding/binary"

	"github.com/millrace/millrace/relay"
)

// Flags of a take record.
const (
	takeEightBit = 1 << iota
	takeUTF8
	takeNodes // the recipients are of more than one node: each says which
	takeCopy  // copied forward: where from and who was done by then
	takeFlags
)

// maxBase bounds the positions of a segment: 32 MiB of vector.
const maxBase = 1 << 28

// takeRecord is a message in the journal, but for its body. On the disk:
//
//	4  length of the envelope: all up to the recipients
//	uvarint id · uvarint base · uvarint body · byte flags · varint arrived · varint taken (Unix nanoseconds, 0 not known)
//	string queue id, from, ret, envid, class, rule, client
//	takeCopy: uvarint segment · uvarint base · uvarint count · count × uvarint recipient
//	uvarint count · count × (string address, notify, orcpt · takeNodes: uvarint node)
//	bytes trace · rest header
//
// A string is its length as uvarint and its bytes.
type takeRecord struct {
	msg    *relay.Message
	base   uint32   // position of the first recipient in the segment's vector
	body   uint32   // number of the body frame in the segment
	nodeOf []uint32 // node of each recipient; nil when there is one node
	from   origin   // takeCopy
	done   []int    // takeCopy: recipients done when it was copied
	copied bool
}

// origin is where a copied message stood before.
type origin struct {
	segment uint64
	base    uint32
}

func (t *takeRecord) append(b []byte) []byte {
	at := len(b)
	b = t.appendRcpts(t.appendEnvelope(append(b, 0, 0, 0, 0)))
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	b = appendBytes(b, t.msg.Trace)
	return append(b, t.msg.Header...)
}

func (t *takeRecord) appendEnvelope(b []byte) []byte {
	m := t.msg
	b = binary.AppendUvarint(b, uint64(m.ID))
	b = binary.AppendUvarint(b, uint64(t.base))
	b = binary.AppendUvarint(b, uint64(t.body))
	b = append(b, t.flags())
	b = appendTime(appendTime(b, m.Arrived), m.Taken)
	for _, s := range [...]string{m.QueueID, m.From, m.Ret, m.EnvID, m.Class, m.Rule, m.Client} {
		b = appendString(b, s)
	}
	if !t.copied {
		return b
	}
	b = binary.AppendUvarint(b, t.from.segment)
	b = binary.AppendUvarint(b, uint64(t.from.base))
	b = binary.AppendUvarint(b, uint64(len(t.done)))
	for _, i := range t.done {
		b = binary.AppendUvarint(b, uint64(i))
	}
	return b
}

func (t *takeRecord) appendRcpts(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.msg.Rcpts)))
	for i := range t.msg.Rcpts {
		r := &t.msg.Rcpts[i]
		b = appendString(appendString(appendString(b, r.Addr), r.Notify), r.ORcpt)
		if t.nodeOf != nil {
			b = binary.AppendUvarint(b, uint64(t.nodeOf[i]))
		}
	}
	return b
}

func (t *takeRecord) flags() byte {
	var f byte
	for _, x := range [...]struct {
		on  bool
		bit byte
	}{{t.msg.EightBit, takeEightBit}, {t.msg.UTF8, takeUTF8}, {t.nodeOf != nil, takeNodes}, {t.copied, takeCopy}} {
		if x.on {
			f |= x.bit
		}
	}
	return f
}

// decodeTake reads a take record. The message shares no memory with p: p is a reader's buffer.
func decodeTake(p []byte, names *interned) (*takeRecord, error) {
	if len(p) < 4 {
		return nil, errRecord
	}
	n := binary.BigEndian.Uint32(p)
	if uint64(n) > uint64(len(p)-4) {
		return nil, errRecord
	}
	t := &takeRecord{msg: &relay.Message{}}
	d := &decoder{b: p[4 : 4+n]}
	t.decodeRcpts(d, t.decodeEnvelope(d, names), names)
	if d.bad || len(d.b) > 0 {
		return nil, errRecord
	}
	// One allocation holds both: the message lives and dies as one.
	rest := &decoder{b: append([]byte(nil), p[4+n:]...)}
	t.msg.Trace = rest.bytes()
	if rest.bad {
		return nil, errRecord
	}
	t.msg.Header = rest.b
	return t, nil
}

func (t *takeRecord) decodeEnvelope(d *decoder, names *interned) (flags byte) {
	m := t.msg
	m.ID = relay.ID(d.uvarint())
	t.base = uint32(d.number(maxBase))
	t.body = uint32(d.number(maxBase))
	if flags = d.byte(); flags >= takeFlags {
		d.fail()
	}
	m.EightBit, m.UTF8, t.copied = flags&takeEightBit != 0, flags&takeUTF8 != 0, flags&takeCopy != 0
	m.Arrived, m.Taken = d.time(), d.time()
	m.QueueID = d.string()
	for _, s := range [...]*string{&m.From, &m.Ret, &m.EnvID, &m.Class, &m.Rule, &m.Client} {
		*s = names.of(d.bytes())
	}
	if t.copied {
		t.decodeCopy(d)
	}
	return flags
}

func (t *takeRecord) decodeCopy(d *decoder) {
	t.from = origin{segment: d.uvarint(), base: uint32(d.number(maxBase))}
	t.done = make([]int, d.count(1))
	for i := range t.done {
		t.done[i] = int(d.number(maxBase))
	}
}

func (t *takeRecord) decodeRcpts(d *decoder, flags byte, names *interned) {
	n := d.count(3)
	if n == 0 || uint64(t.base)+uint64(n) > maxBase {
		d.fail()
		return
	}
	t.msg.Rcpts = make([]relay.Rcpt, n)
	if flags&takeNodes != 0 {
		t.nodeOf = make([]uint32, n)
	}
	for i := range t.msg.Rcpts {
		t.msg.Rcpts[i] = relay.Rcpt{Addr: d.string(), Notify: names.of(d.bytes()), ORcpt: d.string()}
		if t.nodeOf != nil {
			t.nodeOf[i] = uint32(d.number(uint64(i)))
		}
	}
	for _, i := range t.done {
		if i >= n {
			d.fail()
		}
	}
}

// nodesOf lists the node of each recipient of m, or nil when they are all of one.
func nodesOf(m *relay.Message) []uint32 {
	if len(m.Nodes) < 2 {
		return nil
	}
	of := make([]uint32, len(m.Rcpts))
	for i, n := range m.Nodes {
		for _, r := range n.Rcpts {
			of[r] = uint32(i)
		}
	}
	return of
}

// maxInterned bounds an interned set: mail from everywhere has no common values worth a table.
const maxInterned = 1 << 14

// interned makes equal strings share their bytes: sender, rule and client of a campaign are the same a million times.
type interned struct{ m map[string]string }

func newInterned() *interned { return &interned{m: make(map[string]string)} }

func (t *interned) of(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := t.m[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(t.m) < maxInterned {
		t.m[s] = s
	}
	return s
}
