package tally

import (
	"cmp"
	"fmt"
	"math/bits"

	"github.com/millrace/millrace/relay/packed"
)

// Replay takes up what a record says. At recovery it is given first what Snapshot gave, then each record of Append in the order of the
// journal. A record whose sequence number is not above the last one is ignored. A malformed one is an error and changes nothing. What a
// record counts for a number that no record before it has defined, because that one is lost, counts for the installation alone.
func (t *Tally) Replay(p []byte) error {
	r := reader{packed.Of(p)}
	switch v := r.Byte(); {
	case r.Bad:
		return errRecord{"the record is empty"}
	case v > version:
		return errRecord{fmt.Sprintf("the record has version %d; this program knows %d", v, version)}
	case v != version:
		return errRecord{fmt.Sprintf("the record has version %d, which never was", v)}
	}
	what := r.Byte()
	seq := r.Uvarint()
	if r.Bad || what < recordDelta || what > recordSame {
		return errRecord{"the record's head is damaged"}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if seq <= t.seq {
		return nil
	}
	at, base, next := t.closed, t.base, uint64(0)
	switch {
	case what == recordAll:
		at, base, next = int64(r.UpTo(maxValue)), r.Uvarint(), r.UpTo(maxValue)
	case what == recordSame:
	case seq%absoluteEvery == 0:
		at, base = int64(r.UpTo(maxValue)), r.Uvarint()
	default:
		at = min(max(at+r.Within(maxValue), 0), maxValue)
	}
	if !r.check(what) {
		return errRecord{fmt.Sprintf("record %d is damaged", seq)}
	}
	t.seq, t.last, t.base = seq, at, base
	if what == recordAll {
		t.replace(r, next)
	} else {
		t.change(r)
	}
	t.closed = at
	return nil
}

// change takes up a delta that was checked. The mutex is held.
func (t *Tally) change(r reader) {
	for r.more() {
		switch it := r.item(); it.form {
		case formDefined:
			t.define(it.kind, it.number, it.key)
		case formGone:
			t.fold(it.number)
		default:
			t.take(&it)
		}
	}
	t.closeOpen()
}

// define makes the entry of a key. What is known already stays and has the new number: the record that ended the old one is lost. The mutex
// is held.
func (t *Tally) define(of kind, number uint64, k key) *entry {
	t.next = max(t.next, number>>1+1)
	e := t.find(of, k)
	switch {
	case t.numbered[number] != nil:
		t.mark(t.numbered[number]) // of a snapshot that was written before the definition
		return nil
	case e == nil && of == kindSite:
		e = t.newSite(number, k.name)
	case e == nil && of == kindCampaign:
		e = t.newCampaign(number, k)
	case e == nil:
		e = t.newRest(number, k.tenant)
	default:
		delete(t.numbered, e.number)
		e.number, t.numbered[number] = number, e
	}
	t.mark(e)
	return e
}

// find is the entry of a key, or nil. The mutex is held.
func (t *Tally) find(of kind, k key) *entry {
	switch of {
	case kindSite:
		return t.sites[k.name]
	case kindCampaign:
		return t.campaigns[k]
	case kindTenant:
		return t.tenants[k.tenant]
	}
	return t.rests[k.tenant]
}

// fold folds the entry of a number into what a record says: no number may be given to a new key here. The mutex is held.
func (t *Tally) fold(number uint64) {
	e := t.numbered[number]
	switch {
	case e == nil:
	case e.kind == kindSite:
		t.forget(e, t.other)
	case e.kind == kindCampaign:
		t.forget(e, cmp.Or(t.rests[e.key.tenant], t.aside))
	}
}

// take adds what a delta says of one number. The mutex is held.
func (t *Tally) take(it *item) {
	e := t.numbered[it.number]
	switch {
	case e == nil && it.number&1 != 0:
		e = t.other
	case e == nil:
		e = t.aside
	case e.kind == kindSite:
		e.used = t.last
		t.siteLine.use(e)
	case e.kind == kindCampaign:
		e.used = t.last
		t.campaignLine.use(e)
	}
	if it.values[messages] > 0 {
		t.base += it.id
		e.fresh = t.base
	}
	for ; e != nil; e = e.owner {
		for m := it.mask; m != 0; m &= m - 1 {
			c := counter(bits.TrailingZeros32(m))
			t.add(e, c, it.values[c])
		}
	}
}

// replace takes up a record of all that was checked. The mutex is held.
func (t *Tally) replace(r reader, next uint64) {
	t.clear()
	for r.more() {
		x := r.entry()
		if e := t.place(x); e != nil {
			e.sum, e.first, e.taken, e.sent, e.last, e.faults, e.known = x.sum, x.first, x.taken, x.sent, x.last, x.faults, true
			e.used = max(x.first, x.taken, x.sent)
		}
	}
	for _, e := range t.dirty {
		e.dirty = false
	}
	t.dirty, t.next = t.dirty[:0], max(t.next, next)
}

// place makes or finds what counts for the key of an entry that was read; nil: it is there already. The mutex is held.
func (t *Tally) place(x *entry) *entry {
	switch x.kind {
	case kindInstallation:
		return t.all
	case kindOwn:
		return t.own
	case kindAside:
		return t.aside
	case kindOther:
		return t.other
	case kindTenant:
		if e := t.tenant(x.key.tenant); e != t.all {
			return e
		}
		return nil
	}
	if t.find(x.kind, x.key) != nil {
		return nil
	}
	return t.define(x.kind, x.number, x.key)
}
