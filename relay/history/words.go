package history

import (
	"bytes"
	"slices"
)

// Bounds of the texts of one segment.
const (
	placeBits     = 12
	mostTexts     = 16 << 10
	mostTextBytes = 1 << 20
	leastText     = 6 // bytes; a reference to a text takes up to 4
	ways          = 4 // strings that are remembered from their first time at one place: two that come in turn do not push each other out
)

// words are the texts of the segment that is being written. A string gets a text at its second sight.
type words struct {
	at    map[string]uint32 // the offset of a text's frame
	bytes int
	seen  [][ways]uint32 // sums of strings seen once, each at its place, the latest first
}

func newWords() *words {
	return &words{at: make(map[string]uint32), seen: make([][ways]uint32, 1<<placeBits)}
}

// learn notes that s has a text at that offset.
func (w *words) learn(s []byte, at uint32) {
	w.at[string(s)] = at
	w.bytes += len(s)
}

// again reports whether s is worth a text: it was seen before, and there is room.
func (w *words) again(s []byte) bool {
	h := keyOf(keyText, s)
	place, sum := &w.seen[h>>(64-placeBits)], uint32(h>>offsetBits)
	at := slices.Index(place[:], sum)
	if at < 0 {
		copy(place[1:], place[:ways-1])
		place[0] = sum
	}
	return at >= 0 && len(w.at) < mostTexts && w.bytes+len(s) <= mostTextBytes
}

// splitAddress is where an address or a Message-ID is cut: what stands before the "@" is its own, and what follows many have.
func splitAddress(s []byte) int { return max(bytes.LastIndexByte(s, '@'), 0) }

// splitReply is where a reply is cut: at the first word of its text with a digit, such as the receiver's queue id. The enhanced code,
// which begins with a digit, belongs to the front.
func splitReply(s []byte) int {
	at := bytes.IndexByte(s, ' ') + 1
	for at > 0 && at < len(s) {
		n := bytes.IndexByte(s[at:], ' ')
		word := s[at:]
		if n >= 0 {
			word = s[at : at+n]
		}
		if bytes.ContainsAny(word, "0123456789") {
			return at
		}
		if n < 0 {
			break
		}
		at += n + 1
	}
	return len(s)
}
