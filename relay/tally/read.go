package tally

import (
	"math"
	"math/bits"

	"github.com/millrace/millrace/relay/packed"
)

// maxValue bounds a counter in a record: a sum of so many of them does not overflow.
const maxValue = math.MaxInt64 >> 20

// reader reads a record.
type reader struct{ packed.Reader }

// more reports whether something follows.
func (r *reader) more() bool { return len(r.Rest) > 0 }

// text reads a text. It is a copy.
func (r *reader) text() string { return string(r.Bytes(r.UpTo(maxText))) }

// key reads what names an entry of a kind.
func (r *reader) key(of kind) (k key) {
	switch of {
	case kindTenant, kindRest:
		k.tenant = r.text()
	case kindSite:
		k.name = r.text()
	case kindCampaign:
		k.tenant, k.name, k.sender = r.text(), r.text(), r.text()
	}
	return k
}

// mask reads which counters follow.
func (r *reader) mask() uint32 { return uint32(r.UpTo(1<<counters - 1)) }

// item is a piece of a delta.
type item struct {
	number uint64
	form   int
	kind   kind // of formDefined
	key    key  // of formDefined
	mask   uint32
	values sums
	id     uint64 // of the last message that was added, less the last id before it
}

// item reads the next piece of a delta.
func (r *reader) item() (it item) {
	head := r.UpTo(maxValue) // a number that is near its end has no successor
	it.number, it.form = head>>2, int(head&3)
	switch it.form {
	case formDefined:
		it.kind = kind(r.Byte())
		if !it.kind.fits(it.number) {
			r.Fail()
		}
		it.key = r.key(it.kind)
	case formGone:
		if it.number>>1 < firstNumber {
			r.Fail()
		}
	default:
		it.mask = r.mask()
		for m := it.mask; m != 0; m &= m - 1 {
			c := bits.TrailingZeros32(m)
			if it.values[c] = 1; it.form == formValues {
				it.values[c] = r.Within(maxValue)
			}
		}
		if it.values[messages] > 0 {
			it.id = uint64(r.Varint())
		}
	}
	return it
}

// fits reports whether a key of the kind may have that number.
func (k kind) fits(number uint64) bool {
	switch k {
	case kindSite:
		return number&1 == 1 && number>>1 >= firstNumber
	case kindRest, kindCampaign:
		return number&1 == 0 && number>>1 >= firstNumber
	}
	return false
}

// entry reads an entry with its sums. Its owner is not known yet.
func (r *reader) entry() *entry {
	e := &entry{kind: kind(r.Byte()), known: true}
	if e.kind >= kinds {
		r.Fail()
	}
	if e.hasNumber() {
		e.number = r.UpTo(maxValue)
	}
	if e.kind >= kindRest && !e.kind.fits(e.number) {
		r.Fail()
	}
	e.key = r.key(e.kind)
	for m := r.mask(); m != 0; m &= m - 1 {
		e.sum[bits.TrailingZeros32(m)] = int64(r.UpTo(maxValue))
	}
	for _, at := range [...]*int64{&e.first, &e.taken, &e.sent} {
		*at = int64(r.UpTo(maxValue))
	}
	e.last = r.Uvarint()
	for range r.UpTo(maxFaults) {
		e.faults = append(e.faults, r.text())
	}
	return e
}

// check reads a record to its end and reports whether it is sound.
func (r reader) check(what byte) bool {
	for r.more() {
		if what == recordAll {
			r.entry()
		} else {
			r.item()
		}
	}
	return !r.Bad
}
