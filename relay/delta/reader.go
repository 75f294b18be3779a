package delta

import "encoding/binary"

// reader reads the fields of a part. After the first that is damaged it is bad, and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// number reads a number that is not negative and leaves room to calculate with it.
func (r *reader) number() int {
	n, rest, ok := uvarint(r.b)
	if !ok {
		r.bad = true
		return 0
	}
	r.b = rest
	return n
}

func (r *reader) signed() int {
	n, k := binary.Varint(r.b)
	if k <= 0 || n < -maxNumber || n > maxNumber {
		r.bad = true
		return 0
	}
	r.b = r.b[k:]
	return int(n)
}

// bytes reads n bytes.
func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// stretch reads one stretch of a recipe.
func (r *reader) stretch() (t stretch, places []byte) {
	t.before = r.number()
	t.coder = coder{r.byte(), r.byte()}
	t.size = r.number()
	if t.coder.kind == coderPlaces {
		places = r.bytes(r.number())
	}
	r.bad = r.bad || t.size == 0 || !t.coder.valid()
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
