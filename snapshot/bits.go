package snapshot

import (
	"encoding/binary"
	"math/bits"
)

// bitVector says of each recipient taken into a segment whether it is done. It grows by itself; what it does not reach
// is not done.
type bitVector []uint64

func (v bitVector) has(i uint32) bool {
	w := i / 64
	return int(w) < len(v) && v[w]&(1<<(i%64)) != 0
}

// set sets bit i and reports whether it was not set before.
func (v *bitVector) set(i uint32) bool {
	if v.has(i) {
		return false
	}
	w := int(i / 64)
	for len(*v) <= w {
		*v = append(*v, 0)
	}
	(*v)[w] |= 1 << (i % 64)
	return true
}

func (v bitVector) count() int {
	n := 0
	for _, w := range v {
		n += bits.OnesCount64(w)
	}
	return n
}

func (v bitVector) append(b []byte) []byte {
	for _, w := range v {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	return b
}

// decodeBits reads what append wrote.
func decodeBits(b []byte) bitVector {
	v := make(bitVector, 0, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		v = append(v, binary.BigEndian.Uint64(b))
	}
	return v
}
