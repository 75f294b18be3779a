package history

import (
	"encoding/binary"
	"math/bits"
	"unicode"
	"unicode/utf8"
)

// offsetBits are the bits of an offset in an entry of an index. The others are those of a key.
const offsetBits = 24

// What a key is of.
const (
	keyRcpt byte = iota + 1
	keyQueueID
	keyMessageID
	keyID
	keyGap
	keyText // of words; never on the disk
)

// key is the upper 40 bits of a hash, with zeros for the offset.
type key uint64

// entry is a key with the offset of a record.
func (k key) entry(offset int64) uint64 { return uint64(k) | uint64(offset) }

// keyOf hashes s, of that kind: eight bytes at a time, the rest one by one, with a last mix, because an index needs the upper bits. What it
// gives is on the disk and must stay the same.
func keyOf(kind byte, s []byte) key {
	h := uint64(14695981039346656037) ^ uint64(kind)
	for ; len(s) >= 8; s = s[8:] {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(s))*0x9e3779b97f4a7c15, 29)
	}
	for _, c := range s {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mixed(h)
}

// keyOfID is the key of an id of ours.
func keyOfID(id uint64) key { return mixed(id*0x9e3779b97f4a7c15 ^ uint64(keyID)) }

// mixed lets every bit have a part in the upper ones, and cuts off the others.
func mixed(h uint64) key {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return key(h &^ (1<<offsetBits - 1))
}

// appendLower appends s in lower case: people write an address as they like.
func appendLower(b, s []byte) []byte {
	for len(s) > 0 {
		if c := s[0]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b, s = append(b, c), s[1:]
			continue
		}
		r, n := utf8.DecodeRune(s)
		if r == utf8.RuneError {
			b = append(b, s[:n]...)
		} else {
			b = utf8.AppendRune(b, unicode.ToLower(r))
		}
		s = s[n:]
	}
	return b
}
