package tally

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// FORMAT. A record is:
//
//	byte version (1) · byte what: recordDelta, recordSame or recordAll · uvarint sequence number
//
// A delta has what has changed since the record before:
//
//	the time of the last event, in Unix seconds: a uvarint if the sequence number is a multiple of absoluteEvery, else a varint, the
//	difference to the time of the record before; a recordSame is a delta without it, because the time is the same. Behind a uvarint
//	stands another one, the last message id in the records before
//	items up to the end, each: uvarint number<<2 | form, and by form
//	  formValues:  uvarint mask of counters · for each, from the lowest bit on: varint what was added
//	  formOnes:    uvarint mask of counters, to each of which 1 was added
//	  both, if messages were added: varint id of the last one less the last id before it in the records
//	  formDefined: the number stands for a key from now on: byte kind · the key
//	  formGone:    the campaign or site is folded into the rest of its tenant, or into the other sites
//
// Definitions of rests stand first, then what is gone, then the other definitions, then values: a campaign may be gone and come again. What is added for a campaign or a rest is added for its tenant and
// the installation.
//
// A record of all has everything, and what was known before it is known no more:
//
//	uvarint the time · uvarint the last message id in the records before · uvarint the next number
//	entries up to the end, by kind, those used the longest ago first, each: byte kind · uvarint number (none for the installation and
//	tenants) · the key · uvarint mask of counters · for each: uvarint sum · uvarint first, taken, sent: Unix seconds ·
//	uvarint id of the last message taken · uvarint number of faults · each: text
//
// A key is, by kind: the tenant · its rest: tenant; a site: name; a campaign: tenant, name, sender; of others nothing. A text is its length
// as uvarint and its bytes. Counters are numbered as in entry.go.
const version = 1

const (
	recordDelta = 1
	recordAll   = 2
	recordSame  = 3

	absoluteEvery = 64
)

const (
	formValues = iota
	formOnes
	formDefined
	formGone
)

// head is what an item begins with.
func head(number, form uint64) uint64 { return number<<2 | form }

// Append closes what was counted since the last record and appends the record to b. When nothing was counted b stays as it is. all has the
// record hold every counter: after a commit that failed, nobody can say which of the records before it are on the disk.
func (t *Tally) Append(b []byte, all bool) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.dirty) == 0 && len(t.forgets) == 0 && !all {
		return b
	}
	t.seq++
	if all {
		t.closeOpen()
		return t.appendAll(b)
	}
	b = t.appendDelta(b)
	t.closeOpen()
	return b
}

// closeOpen makes what is open a part of the sums. The mutex is held.
func (t *Tally) closeOpen() {
	for _, e := range t.dirty {
		e.close(t.last)
	}
	t.closed, t.dirty, t.forgets = t.last, t.dirty[:0], t.forgets[:0]
}

// Snapshot appends a record of every counter as of the last Append to b.
func (t *Tally) Snapshot(b []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.appendAll(b)
}

func (t *Tally) appendHead(b []byte, what byte) []byte {
	return binary.AppendUvarint(append(b, version, what), t.seq)
}

// appendDelta writes what is open. The mutex is held.
func (t *Tally) appendDelta(b []byte) []byte {
	switch {
	case t.seq%absoluteEvery == 0:
		b = binary.AppendUvarint(t.appendHead(b, recordDelta), uint64(max(t.last, 0)))
		b = binary.AppendUvarint(b, t.base)
	case t.last == t.closed:
		b = t.appendHead(b, recordSame)
	default:
		b = binary.AppendVarint(t.appendHead(b, recordDelta), t.last-t.closed)
	}
	for _, e := range t.dirty {
		if !e.known && e.kind == kindRest {
			b = e.appendDefinition(b)
		}
	}
	for _, n := range t.forgets {
		b = binary.AppendUvarint(b, head(n, formGone))
	}
	for _, e := range t.dirty {
		if !e.known && !e.gone && (e.kind == kindCampaign || e.kind == kindSite) {
			b = e.appendDefinition(b)
		}
	}
	for _, e := range t.dirty {
		if !e.gone && e.hasNumber() {
			b = t.appendChanges(b, e)
		}
	}
	return b
}

// appendDefinition says what the number of e stands for.
func (e *entry) appendDefinition(b []byte) []byte {
	b = binary.AppendUvarint(b, head(e.number, formDefined))
	return appendKey(append(b, byte(e.kind)), e.kind, e.key)
}

// hasNumber reports whether e stands in deltas: the others are the sum of those that do.
func (e *entry) hasNumber() bool { return e.kind != kindInstallation && e.kind != kindTenant }

// appendChanges writes what is open in e. The mutex is held.
func (t *Tally) appendChanges(b []byte, e *entry) []byte {
	mask, ones := e.changes()
	switch {
	case mask == 0:
		return b
	case ones:
		b = binary.AppendUvarint(binary.AppendUvarint(b, head(e.number, formOnes)), uint64(mask))
	default:
		b = binary.AppendUvarint(binary.AppendUvarint(b, head(e.number, formValues)), uint64(mask))
		for m := mask; m != 0; m &= m - 1 {
			b = binary.AppendVarint(b, e.open[bits.TrailingZeros32(m)])
		}
	}
	if e.open[messages] > 0 {
		b = binary.AppendVarint(b, int64(e.fresh-t.base))
		t.base = e.fresh
	}
	return b
}

// appendAll writes the sums. The mutex is held.
func (t *Tally) appendAll(b []byte) []byte {
	n := len(b)
	b = slices.Grow(b, t.whole+t.whole/8)
	defer func() { t.whole = len(b) - n }()
	b = t.appendHead(b, recordAll)
	b = binary.AppendUvarint(b, uint64(max(t.closed, 0)))
	b = binary.AppendUvarint(b, t.base)
	b = binary.AppendUvarint(b, t.next)
	t.each(func(e *entry) { b = e.appendSums(b) })
	return b
}

// each calls f with every entry, those of a line from the oldest on. The mutex is held.
func (t *Tally) each(f func(*entry)) {
	for _, e := range []*entry{t.all, t.own, t.aside, t.other} {
		f(e)
	}
	for _, e := range t.tenants {
		f(e)
	}
	for _, e := range t.rests {
		f(e)
	}
	for e := t.siteLine.oldest(); e != nil; e = t.siteLine.newer(e) {
		f(e)
	}
	for e := t.campaignLine.oldest(); e != nil; e = t.campaignLine.newer(e) {
		f(e)
	}
}

// appendSums writes e with its sums.
func (e *entry) appendSums(b []byte) []byte {
	b = append(b, byte(e.kind))
	if e.hasNumber() {
		b = binary.AppendUvarint(b, e.number)
	}
	b = appendKey(b, e.kind, e.key)
	mask := uint64(0)
	for c, n := range e.sum {
		if n > 0 { // one below 0 counts a message out whose record is lost
			mask |= 1 << c
		}
	}
	b = binary.AppendUvarint(b, mask)
	for m := mask; m != 0; m &= m - 1 {
		b = binary.AppendUvarint(b, uint64(e.sum[bits.TrailingZeros64(m)]))
	}
	first := e.first
	if !e.known {
		first = 0 // the record that defines it says when
	}
	for _, at := range [...]int64{first, e.taken, e.sent} {
		b = binary.AppendUvarint(b, uint64(max(at, 0)))
	}
	b = binary.AppendUvarint(b, e.last)
	b = binary.AppendUvarint(b, uint64(len(e.faults)))
	for _, f := range e.faults {
		b = appendText(b, f)
	}
	return b
}

// appendKey writes what names an entry of a kind.
func appendKey(b []byte, of kind, k key) []byte {
	switch of {
	case kindTenant, kindRest:
		return appendText(b, k.tenant)
	case kindSite:
		return appendText(b, k.name)
	case kindCampaign:
		return appendText(appendText(appendText(b, k.tenant), k.name), k.sender)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// errRecord says that a record is damaged.
type errRecord struct{ what string }

// Error implements error.
func (e errRecord) Error() string { return fmt.Sprintf("counters: %s", e.what) }
