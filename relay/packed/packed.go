// Package packed reads what was packed into bytes with encoding/binary and append: numbers and pieces, one behind the other. The journal,
// the parts of divided messages, the counters and the history each have a format of their own, and read its fields with a Reader.
//
// Whatever the bytes are, such as those of a damaged disk, a Reader stays within them. What a number stands for, and which numbers are too
// large, is known to the format.
package packed

import "encoding/binary"

// Reader reads fields. After the first one that does not fit, Bad is set and every field reads as zero: a caller checks Bad once, before it
// uses a value. The zero Reader has nothing to read.
type Reader struct {
	Rest []byte // not read yet; nil when Bad
	Bad  bool
}

// Of reads b, and keeps it.
func Of(b []byte) Reader { return Reader{Rest: b} }

// Fail notes that what was read makes no sense.
func (r *Reader) Fail() { r.Rest, r.Bad = nil, true }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.Rest) == 0 {
		r.Fail()
		return 0
	}
	c := r.Rest[0]
	r.Rest = r.Rest[1:]
	return c
}

// Uvarint reads a number that binary.AppendUvarint has written.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.Rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.Rest = r.Rest[n:]
	return v
}

// UpTo reads such a number, which is not above most.
func (r *Reader) UpTo(most uint64) uint64 {
	v := r.Uvarint()
	if v > most {
		r.Fail()
		return 0
	}
	return v
}

// Varint reads a number that binary.AppendVarint has written.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.Rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.Rest = r.Rest[n:]
	return v
}

// Within reads such a number, which is neither above most nor below −most.
func (r *Reader) Within(most int64) int64 {
	v := r.Varint()
	if v > most || v < -most {
		r.Fail()
		return 0
	}
	return v
}

// Bytes returns the next n bytes, not a copy. Their capacity ends with them, so that an append cannot overwrite what follows.
func (r *Reader) Bytes(n uint64) []byte {
	if n > uint64(len(r.Rest)) {
		r.Fail()
		return nil
	}
	b := r.Rest[:n:n]
	r.Rest = r.Rest[n:]
	return b
}
