package delta

import (
	"encoding/binary"

	"github.com/millrace/millrace/relay/packed"
)

// reader reads the fields of a part.
type reader struct{ packed.Reader }

// number reads a number that is not negative and leaves room to calculate with it.
func (r *reader) number() int { return int(r.UpTo(maxNumber)) }

func (r *reader) signed() int { return int(r.Within(maxNumber)) }

// bytes reads n bytes.
func (r *reader) bytes(n int) []byte { return r.Bytes(uint64(n)) }

// stretch reads one stretch of a recipe.
func (r *reader) stretch() (t stretch, places []byte) {
	t.before = r.number()
	t.coder = coder{r.Byte(), r.Byte()}
	t.size = r.number()
	if t.coder.kind == coderPlaces {
		places = r.bytes(r.number())
	}
	if t.size == 0 || !t.coder.valid() {
		r.Fail()
	}
	return t, places
}

// maxNumber is the largest number in a part, so that a sum of two overflows on no machine.
const maxNumber = 1<<30 - 1

// MaxSize is the most bytes that a message may have to be split.
const MaxSize = maxNumber

// uvarint reads a number from the beginning of b.
func uvarint(b []byte) (n int, rest []byte, ok bool) {
	u, k := binary.Uvarint(b)
	if k <= 0 || u > maxNumber {
		return 0, nil, false
	}
	return int(u), b[k:], true
}
