package format

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/relay/packed"
)

// Flags of a take record. The first three have the same place in all versions.
const (
	takeEightBit = 1 << iota
	takeUTF8
	takeNodes   // the recipients are of more than one node: each says of which
	takeCopied  // copied: from where, and who was done by then
	takeRow     // a row of a merge
	takeUrgent  // urgent lane
	takeSender  // it takes turns with the mail of its sender's domain
	takeUnheard // a copy whose MTA may not have heard that it is taken
	takeAgain   // a copy of a record that is lost, and counts as a take in its place
	takeBrief   // times are whole milliseconds, and a string of its own is told by how it differs from the shared one
	takeFlags

	oldTakeFlags = takeCopied << 1 // of versions 1 and 2
)

// MaxPosition bounds the positions of a segment, and with them its vector in RAM, at 32 MiB. Other small numbers of a
// record have the same bound.
const MaxPosition = 1 << 28

// orcptPrefix begins an ORCPT parameter that most often only repeats the address.
const orcptPrefix = "rfc822;"

// Basis is what the takes of a segment count their ids and times from, so that they take fewer bytes.
type Basis struct {
	ID   uint64
	Time int64 // Unix nanoseconds
}

// Stand is the beginning of a take record: where the message stands in the journal. Recovery reads no more in its first pass.
//
//	varint id − basis · uvarint base · uvarint shared · uvarint flags · uvarint number of recipients
//	takeCopied: uvarint segment · uvarint base · uvarint count · count × uvarint recipient
type Stand struct {
	ID     uint64
	Base   uint32 // position of the first recipient in the segment's vector; the others follow it
	Shared uint32 // number of the shared record, which stands earlier in the same segment
	Count  int    // recipients

	Copied  bool
	Origin  Origin // when Copied
	Done    []int  // when Copied: the recipients who were done by then
	Unheard bool   // when Copied: the MTA may not have heard that the message is taken
	Again   bool   // when Copied: the record at Origin is lost, and this one counts as the take

	flags uint64
	brief bool
}

// tick is the unit of times in the record, in nanoseconds. Nobody asks a message that waits for less than a millisecond.
func (t *Stand) tick() int64 {
	if t.brief {
		return int64(time.Millisecond)
	}
	return 1
}

// Origin is where a copied message stood before.
type Origin struct {
	Segment uint64
	Base    uint32
}

// TakeRecord is a message in the journal, without what it shares with others. On the disk: its Stand, and
//
//	varint arrived − basis · varint taken − arrived (in Unix nanoseconds, takeBrief: milliseconds, which are 0 when not known)
//	string queue id · uvarint form
//	uvarint own, whose bit i says that string i of Common follows here and is not that of the shared record · these strings,
//	takeBrief: each as uvarint bytes at its beginning and uvarint bytes at its end that are those of the shared one · string between them
//	takeRow: uvarint row
//	for each recipient: string address · byte what · 1: string notify · 2: string orcpt · takeNodes: uvarint node
//	rest part
//
// where bit 4 of what says that orcpt is "rfc822;" and the address. A string is its length as uvarint and its bytes.
type TakeRecord struct {
	Stand
	EightBit bool
	UTF8     bool
	Urgent   bool // urgent lane
	BySender bool // the message takes turns with the mail of its sender's domain
	IsRow    bool
	Row      uint64 // when IsRow: of the merge Job
	Form     uint64 // facts about the bytes; 0 when not known
	Arrived  time.Time
	Taken    time.Time
	QueueID  string
	Common
	Rcpts []Rcpt
	Nodes []uint32 // node of each recipient; nil when they are all of node 0
	Part  []byte
}

// Rcpt is one recipient, as the MTA named it.
type Rcpt struct {
	Addr   string
	Notify string
	ORcpt  string
}

// Append writes the record. c has the strings of its shared record; nil: the writer does not know them any more.
func (t *TakeRecord) Append(b []byte, from Basis, c *Common) []byte {
	t.brief = c != nil
	b = t.appendStand(b, from)
	arrived := nanos(t.Arrived) / t.tick()
	b = binary.AppendVarint(b, arrived-from.Time/t.tick())
	b = binary.AppendVarint(b, nanos(t.Taken)/t.tick()-arrived)
	b = appendString(b, t.QueueID)
	b = binary.AppendUvarint(b, t.Form)
	b = t.appendOwn(b, c)
	if t.IsRow {
		b = binary.AppendUvarint(b, t.Row)
	}
	b = t.appendRcpts(b, c)
	return append(b, t.Part...)
}

func (t *TakeRecord) appendStand(b []byte, from Basis) []byte {
	b = binary.AppendVarint(b, int64(t.ID-from.ID))
	b = binary.AppendUvarint(b, uint64(t.Base))
	b = binary.AppendUvarint(b, uint64(t.Shared))
	b = binary.AppendUvarint(b, t.flagsNow())
	b = binary.AppendUvarint(b, uint64(len(t.Rcpts)))
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

func (t *TakeRecord) flagsNow() uint64 {
	var f uint64
	for _, x := range [...]struct {
		on  bool
		bit uint64
	}{
		{t.EightBit, takeEightBit}, {t.UTF8, takeUTF8}, {t.Nodes != nil, takeNodes}, {t.Copied, takeCopied}, {t.IsRow, takeRow},
		{t.Urgent, takeUrgent}, {t.BySender, takeSender}, {t.Copied && t.Unheard, takeUnheard}, {t.Copied && t.Again, takeAgain},
		{t.brief, takeBrief},
	} {
		if x.on {
			f |= x.bit
		}
	}
	return f
}

// appendOwn writes the strings that are not those of c. The last of Common, notify, is written with each recipient.
func (t *TakeRecord) appendOwn(b []byte, c *Common) []byte {
	mine, own := t.Common.fields(), t.ownStrings(c)
	b = binary.AppendUvarint(b, own)
	for i := range commons - 1 {
		switch {
		case own&(1<<i) == 0:
		case t.brief:
			b = appendLike(b, *mine[i], *c.fields()[i])
		default:
			b = appendString(b, *mine[i])
		}
	}
	return b
}

// appendLike writes s by how it differs from another string: a sender that is another one for each recipient has the same list and
// host in all of them.
func appendLike(b []byte, s, other string) []byte {
	n, most := 0, min(len(s), len(other))
	for n < most && s[n] == other[n] {
		n++
	}
	end := 0
	for end < most-n && s[len(s)-1-end] == other[len(other)-1-end] {
		end++
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(n)), uint64(end))
	return appendString(b, s[n:len(s)-end])
}

// ownStrings has bit i set when string i is not known to be that of c.
func (t *TakeRecord) ownStrings(c *Common) uint64 {
	if c == nil {
		return 1<<(commons-1) - 1
	}
	var own uint64
	mine, common := t.Common.fields(), c.fields()
	for i := range commons - 1 {
		if *mine[i] != *common[i] {
			own |= 1 << i
		}
	}
	return own
}

// What follows the address of a recipient.
const (
	rcptNotify = 1 << iota // notify, which is not that of the shared record
	rcptORcpt              // orcpt
	rcptSame               // nothing: orcpt is orcptPrefix and the address
)

func (t *TakeRecord) appendRcpts(b []byte, c *Common) []byte {
	for i := range t.Rcpts {
		r := &t.Rcpts[i]
		b = appendString(b, r.Addr)
		what := len(b)
		b = append(b, 0)
		if c == nil || r.Notify != c.Notify {
			b[what] |= rcptNotify
			b = appendString(b, r.Notify)
		}
		rest, usual := strings.CutPrefix(r.ORcpt, orcptPrefix)
		switch {
		case r.ORcpt == "":
		case usual && rest == r.Addr:
			b[what] |= rcptSame
		default:
			b[what] |= rcptORcpt
			b = appendString(b, r.ORcpt)
		}
		if t.Nodes != nil {
			b = binary.AppendUvarint(b, uint64(t.Nodes[i]))
		}
	}
	return b
}

// DecodeStand reads the beginning of a take record into t, and overwrites all of the Stand.
func (t *TakeRecord) DecodeStand(p []byte, from Basis) error {
	d := decode(p)
	t.decodeStand(d, from)
	if d.Bad {
		return ErrMalformed
	}
	return nil
}

// Decode reads a take record into t, and overwrites all of it. c has the strings of its shared record; nil: that is lost, and with it
// what t has of it. Part is a part of p, all else shares no memory with it. The next Decode reuses the lists of recipients: a recovery
// reads millions of records, and copies the recipients into its own type.
func (t *TakeRecord) Decode(p []byte, from Basis, c *Common, names *Names) error {
	*t = TakeRecord{Stand: t.Stand, Rcpts: t.Rcpts[:0]}
	d := &decoder{Reader: packed.Of(p), lost: c == nil}
	if c != nil {
		t.Common = *c
	}
	t.decodeStand(d, from)
	t.EightBit, t.UTF8, t.IsRow = t.flags&takeEightBit != 0, t.flags&takeUTF8 != 0, t.flags&takeRow != 0
	t.Urgent, t.BySender = t.flags&takeUrgent != 0, t.flags&takeSender != 0
	arrived := from.Time/t.tick() + d.Varint()
	t.Arrived, t.Taken = d.ticks(arrived, t.tick()), d.ticks(arrived+d.Varint(), t.tick())
	t.QueueID, t.Form = d.text(), d.Uvarint()
	t.decodeOwn(d, names)
	if t.IsRow {
		t.Row = d.Uvarint()
	}
	t.decodeRcpts(d, names)
	if d.Bad {
		return ErrMalformed
	}
	t.Part = d.Rest
	return nil
}

func (t *TakeRecord) decodeStand(d *decoder, from Basis) {
	t.Stand = Stand{Done: t.Done[:0]}
	t.ID = from.ID + uint64(d.Varint())
	t.Base, t.Shared = uint32(d.UpTo(MaxPosition)), uint32(d.UpTo(MaxPosition))
	t.flags = d.UpTo(takeFlags - 1)
	t.Count = d.items(2) // an address and what follows it
	if t.Count == 0 || uint64(t.Base)+uint64(t.Count) > MaxPosition {
		d.Fail()
	}
	t.Copied, t.brief = t.flags&takeCopied != 0, t.flags&takeBrief != 0
	t.Unheard, t.Again = t.flags&takeUnheard != 0, t.flags&takeAgain != 0
	if t.Copied {
		t.decodeOrigin(d)
	} else if t.Unheard || t.Again {
		d.Fail()
	}
}

func (t *Stand) decodeOrigin(d *decoder) {
	t.Origin = Origin{Segment: d.Uvarint(), Base: uint32(d.UpTo(MaxPosition))}
	n := d.items(1)
	t.Done = slices.Grow(t.Done, n)[:n]
	for i := range t.Done {
		if t.Done[i] = int(d.UpTo(MaxPosition)); t.Done[i] >= t.Count {
			d.Fail()
		}
	}
}

func (t *TakeRecord) decodeOwn(d *decoder, names *Names) {
	own := d.UpTo(1<<(commons-1) - 1)
	for i, s := range t.Common.fields() {
		switch {
		case own&(1<<i) == 0:
		case s == &t.From || s == &t.EnvID: // one that is not common is a string of this message alone
			*s = string(d.own(*s, t.brief))
		default:
			*s = names.Intern(d.own(*s, t.brief))
		}
	}
}

// own reads a string that is not that of the shared record.
func (d *decoder) own(shared string, brief bool) []byte {
	if !brief {
		return d.bytes()
	}
	begins, ends, between := d.UpTo(MaxPosition), d.UpTo(MaxPosition), d.bytes()
	if d.lost {
		return between
	}
	if begins+ends > uint64(len(shared)) {
		d.Fail()
		return nil
	}
	return slices.Concat([]byte(shared[:begins]), between, []byte(shared[len(shared)-int(ends):]))
}

func (t *TakeRecord) decodeRcpts(d *decoder, names *Names) {
	if d.Bad || t.Count > len(d.Rest) {
		d.Fail()
		return
	}
	t.Rcpts = slices.Grow(t.Rcpts, t.Count)[:t.Count]
	if t.flags&takeNodes != 0 {
		t.Nodes = make([]uint32, t.Count)
	}
	for i := range t.Rcpts {
		t.Rcpts[i] = d.rcpt(t.Notify, names)
		if t.Nodes != nil {
			t.Nodes[i] = uint32(d.UpTo(uint64(i))) // nodes are numbered in order of first mention
		}
	}
}

// rcpt reads one recipient. An address that its orcpt repeats shares its bytes.
func (d *decoder) rcpt(notify string, names *Names) Rcpt {
	addr, what := d.bytes(), d.Byte()
	r := Rcpt{Notify: notify}
	if what&rcptNotify != 0 {
		r.Notify = names.Intern(d.bytes())
	}
	switch what &^ rcptNotify {
	case 0:
		r.Addr = string(addr)
	case rcptORcpt:
		r.Addr, r.ORcpt = string(addr), d.text()
	case rcptSame:
		r.ORcpt = orcptPrefix + string(addr)
		r.Addr = r.ORcpt[len(orcptPrefix):]
	default:
		d.Fail()
	}
	return r
}
