package tally

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// maxValue bounds a counter in a record: a sum of so many of them does not overflow.
const maxValue = math.MaxInt64 >> 20

// reader reads a record. After the first mistake it gives zeros, and bad is set.
type reader struct {
	b   []byte
	bad bool
}

// more reports whether something follows.
func (r *reader) more() bool { return len(r.b) > 0 && !r.bad }

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v > maxValue || v < -maxValue {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// difference reads the difference of two ids.
func (r *reader) difference() uint64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return uint64(v)
}

// text reads a text. It is a copy.
func (r *reader) text() string {
	n := r.uvarint(maxText)
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

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
func (r *reader) mask() uint32 { return uint32(r.uvarint(1<<counters - 1)) }

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
	head := r.uvarint(maxValue) // a number that is near its end has no successor
	it.number, it.form = head>>2, int(head&3)
	switch it.form {
	case formDefined:
		it.kind = kind(r.byte())
		if !it.kind.fits(it.number) {
			r.fail()
		}
		it.key = r.key(it.kind)
	case formGone:
		if it.number>>1 < firstNumber {
			r.fail()
		}
	default:
		it.mask = r.mask()
		for m := it.mask; m != 0; m &= m - 1 {
			c := bits.TrailingZeros32(m)
			if it.values[c] = 1; it.form == formValues {
				it.values[c] = r.varint()
			}
		}
		if it.values[messages] > 0 {
			it.id = r.difference()
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
	e := &entry{kind: kind(r.byte()), known: true}
	if e.kind >= kinds {
		r.fail()
	}
	if e.hasNumber() {
		e.number = r.uvarint(maxValue)
	}
	if e.kind >= kindRest && !e.kind.fits(e.number) {
		r.fail()
	}
	e.key = r.key(e.kind)
	for m := r.mask(); m != 0; m &= m - 1 {
		e.sum[bits.TrailingZeros32(m)] = int64(r.uvarint(maxValue))
	}
	for _, at := range [...]*int64{&e.first, &e.taken, &e.sent} {
		*at = int64(r.uvarint(maxValue))
	}
	e.last = r.uvarint(math.MaxUint64)
	for range r.uvarint(maxFaults) {
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
	return !r.bad
}
