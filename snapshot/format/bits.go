package format

import (
	"encoding/binary"
	"math/bits"
)

// Bits is the bit vector of a segment: bit p says whether the recipient at position p is done. It grows when a bit is
// set; a position beyond its end is not done. A segment of 100,000 recipients costs 12.5 KB, in RAM and in a snapshot.
type Bits []uint64

// Has reports whether bit i is set.
func (v Bits) Has(i uint32) bool {
	w := i / 64
	return int(w) < len(v) && v[w]&(1<<(i%64)) != 0
}

// Set sets bit i and reports whether it was not set before. Counters rely on the answer: replaying a journal sets the
// same bit several times.
func (v *Bits) Set(i uint32) bool {
	if v.Has(i) {
		return false
	}
	w := int(i / 64)
	for len(*v) <= w {
		*v = append(*v, 0)
	}
	(*v)[w] |= 1 << (i % 64)
	return true
}

// Ones is the number of bits that are set.
func (v Bits) Ones() int {
	n := 0
	for _, w := range v {
		n += bits.OnesCount64(w)
	}
	return n
}

// AppendWords writes the vector as 8-byte words.
func (v Bits) AppendWords(b []byte) []byte {
	for _, w := range v {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	return b
}

// DecodeBits reads what AppendWords wrote. An incomplete last word is ignored: the frame's checksum has vouched for the length.
func DecodeBits(b []byte) Bits {
	v := make(Bits, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		v = append(v, binary.BigEndian.Uint64(b))
	}
	return v
}
