package format

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
)

// Flags of a take record.
const (
	takeEightBit = 1 << iota
	takeUTF8
	takeNodes  // the recipients are of more than one node: each says of which
	takeCopied // copied forward: from where, and who was done by then
	takeFlags
)

// MaxPosition bounds the positions of a segment, and with them its vector in RAM, at 32 MiB. Other small numbers of a
// record have the same bound.
const MaxPosition = 1 << 28

// TakeRecord is a message in the journal, without its body. On the disk:
//
//	4  length of the envelope: everything up to and including the recipients
//	uvarint id · uvarint base · uvarint body · byte flags · varint arrived · varint taken (Unix nanoseconds, 0 not known)
//	string queue id, from, ret, envid, class, rule (with a tenant: rule, slash, tenant), client
//	takeCopied: uvarint segment · uvarint base · uvarint count · count × uvarint recipient
//	uvarint count · count × (string address, notify, orcpt · takeNodes: uvarint node)
//	bytes trace · rest header
//
// A string is its length as uvarint and its bytes.
type TakeRecord struct {
	ID       uint64
	Base     uint32 // position of the first recipient in the segment's vector; the others follow it
	Body     uint32 // number of the body record, which stands earlier in the same segment
	EightBit bool
	UTF8     bool
	Arrived  time.Time
	Taken    time.Time

	QueueID, From, Ret, EnvID, Class, Rule, Tenant, Client string

	Copied bool
	Origin Origin // when Copied
	Done   []int  // when Copied: the recipients who were done by then
	Rcpts  []Rcpt
	Nodes  []uint32 // node of each recipient; nil when they are all of node 0
	Trace  []byte
	Header []byte
}

// Rcpt is one recipient, as the MTA named it.
type Rcpt struct {
	Addr   string
	Notify string
	ORcpt  string
}

// Origin is where a copied message stood before.
type Origin struct {
	Segment uint64
	Base    uint32
}

// Append writes the record.
func (t *TakeRecord) Append(b []byte) []byte {
	at := len(b)
	b = t.appendRcpts(t.appendEnvelope(append(b, 0, 0, 0, 0)))
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	b = appendBytes(b, t.Trace)
	return append(b, t.Header...)
}

func (t *TakeRecord) appendEnvelope(b []byte) []byte {
	b = binary.AppendUvarint(b, t.ID)
	b = binary.AppendUvarint(b, uint64(t.Base))
	b = binary.AppendUvarint(b, uint64(t.Body))
	b = append(b, t.flags())
	b = appendTime(appendTime(b, t.Arrived), t.Taken)
	for _, s := range [...]string{t.QueueID, t.From, t.Ret, t.EnvID, t.Class} {
		b = appendString(b, s)
	}
	b = appendString(t.appendRule(b), t.Client)
	if !t.Copied {
		return b
	}
	b = binary.AppendUvarint(b, t.Origin.Segment)
	b = binary.AppendUvarint(b, uint64(t.Origin.Base))
	b = binary.AppendUvarint(b, uint64(len(t.Done)))
	for _, i := range t.Done {
		b = binary.AppendUvarint(b, uint64(i))
	}
	return b
}

// appendRule writes the rule and the tenant as one string, because version 2 has no place of its own for the tenant. No name of a
// rule has a slash.
func (t *TakeRecord) appendRule(b []byte) []byte {
	if t.Tenant == "" {
		return appendString(b, t.Rule)
	}
	b = binary.AppendUvarint(b, uint64(len(t.Rule)+1+len(t.Tenant)))
	return append(append(append(b, t.Rule...), '/'), t.Tenant...)
}

func (t *TakeRecord) appendRcpts(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.Rcpts)))
	for i := range t.Rcpts {
		r := &t.Rcpts[i]
		b = appendString(appendString(appendString(b, r.Addr), r.Notify), r.ORcpt)
		if t.Nodes != nil {
			b = binary.AppendUvarint(b, uint64(t.Nodes[i]))
		}
	}
	return b
}

func (t *TakeRecord) flags() byte {
	var f byte
	for _, x := range [...]struct {
		on  bool
		bit byte
	}{{t.EightBit, takeEightBit}, {t.UTF8, takeUTF8}, {t.Nodes != nil, takeNodes}, {t.Copied, takeCopied}} {
		if x.on {
			f |= x.bit
		}
	}
	return f
}

// Decode reads a take record into t, and overwrites all of it. The result shares no memory with p: p is a reader's buffer, and
// the message outlives it. Only the list of recipients is reused by the next Decode: a recovery reads millions of records,
// and copies the recipients into its own type.
func (t *TakeRecord) Decode(p []byte, names *Names) error {
	*t = TakeRecord{Rcpts: t.Rcpts[:0]}
	if len(p) < 4 {
		return ErrMalformed
	}
	n := binary.BigEndian.Uint32(p)
	if uint64(n) > uint64(len(p)-4) {
		return ErrMalformed
	}
	d := &decoder{b: p[4 : 4+n]}
	t.decodeRcpts(d, t.decodeEnvelope(d, names), names)
	if d.bad || len(d.b) > 0 {
		return ErrMalformed
	}
	// One allocation holds trace and header: they are freed together, with the message.
	rest := &decoder{b: append([]byte(nil), p[4+n:]...)}
	t.Trace = rest.bytes()
	if rest.bad {
		return ErrMalformed
	}
	t.Header = rest.b
	return nil
}

func (t *TakeRecord) decodeEnvelope(d *decoder, names *Names) (flags byte) {
	t.ID = d.uvarint()
	t.Base = uint32(d.number(MaxPosition))
	t.Body = uint32(d.number(MaxPosition))
	if flags = d.byte(); flags >= takeFlags {
		d.fail()
	}
	t.EightBit, t.UTF8, t.Copied = flags&takeEightBit != 0, flags&takeUTF8 != 0, flags&takeCopied != 0
	t.Arrived, t.Taken = d.time(), d.time()
	t.QueueID = d.text()
	for _, s := range [...]*string{&t.From, &t.Ret, &t.EnvID, &t.Class} {
		*s = names.Intern(d.bytes())
	}
	rule, tenant, _ := bytes.Cut(d.bytes(), []byte("/"))
	t.Rule, t.Tenant, t.Client = names.Intern(rule), names.Intern(tenant), names.Intern(d.bytes())
	if t.Copied {
		t.decodeOrigin(d)
	}
	return flags
}

func (t *TakeRecord) decodeOrigin(d *decoder) {
	t.Origin = Origin{Segment: d.uvarint(), Base: uint32(d.number(MaxPosition))}
	t.Done = make([]int, d.items(1))
	for i := range t.Done {
		t.Done[i] = int(d.number(MaxPosition))
	}
}

func (t *TakeRecord) decodeRcpts(d *decoder, flags byte, names *Names) {
	n := d.items(3)
	if n == 0 || uint64(t.Base)+uint64(n) > MaxPosition {
		d.fail()
		return
	}
	t.Rcpts = slices.Grow(t.Rcpts, n)[:n]
	if flags&takeNodes != 0 {
		t.Nodes = make([]uint32, n)
	}
	for i := range t.Rcpts {
		t.Rcpts[i] = Rcpt{Addr: d.text(), Notify: names.Intern(d.bytes()), ORcpt: d.text()}
		if t.Nodes != nil {
			t.Nodes[i] = uint32(d.number(uint64(i))) // nodes are numbered in order of first mention
		}
	}
	for _, i := range t.Done {
		if i >= n {
			d.fail()
		}
	}
}
