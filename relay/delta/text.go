package delta

import "encoding/binary"

// text is the short literals of a part so far. Both sides of a part have the same one, so that a literal, or a piece of one,
// that comes again need not be written again.
type text struct {
	bytes []byte           // of all of them, one behind the other
	last  [mostRecent]span // the last ones, the latest first
}

// span is a literal in the text.
type span struct{ at, size int32 }

const (
	mostRecent  = 7
	mostLiteral = 512 // a longer literal is not in the text, and not packed
	gramBits    = 10
	signature   = 64 // characters of base64, one behind the other, that are taken for a line of one
)

func (t *text) reset() { t.bytes, t.last = t.bytes[:0], [mostRecent]span{} }

// recent is the place of b among the last literals, or -1.
func (t *text) recent(b []byte) int {
	for i := range t.last {
		if l := t.last[i]; int(l.size) == len(b) && string(t.of(l)) == string(b) {
			return i
		}
	}
	return -1
}

func (t *text) of(l span) []byte { return t.bytes[l.at : l.at+l.size : l.at+l.size] }

// again puts the literal at place i of the last ones first, and returns it.
func (t *text) again(i int) []byte {
	l := t.last[i]
	copy(t.last[1:i+1], t.last[:i])
	t.last[0] = l
	return t.of(l)
}

// added makes what the text got since at the latest literal, and returns it.
func (t *text) added(at int) []byte {
	copy(t.last[1:], t.last[:])
	t.last[0] = span{int32(at), int32(len(t.bytes) - at)}
	return t.of(t.last[0])
}

// written is the text of a part while it is written: it tells where pieces of later literals stand in it.
type written struct {
	text
	grams [1 << gramBits]int32 // where four bytes stand in the text, plus one
}

func (w *written) reset() {
	w.text.reset()
	clear(w.grams[:])
}

// learn adds a literal, if it is a short one, and notes where its bytes are, but for those of a signature: no piece of it comes
// again.
func (w *written) learn(l literal) {
	if len(l.bytes) > mostLiteral {
		return
	}
	at := len(w.bytes)
	w.bytes = append(w.bytes, l.bytes...)
	w.added(at)
	if l.pack == packedBase64 && len(l.bytes)-l.prefix >= signature {
		return
	}
	all := w.bytes
	for at = max(at-3, 0); at+4 <= len(all); at++ {
		w.grams[slot(all[at:at+4:at+4])] = int32(at) + 1
	}
}

func slot(b []byte) uint32 { return binary.LittleEndian.Uint32(b) * 2654435761 >> (32 - gramBits) }

// find returns where in the text something stands that b begins with, and how long it is.
func (w *written) find(b []byte) (at, n int) {
	if len(b) < leastPiece {
		return 0, 0
	}
	at = int(w.grams[slot(b)]) - 1
	if at < 0 || binary.LittleEndian.Uint32(w.bytes[at:]) != binary.LittleEndian.Uint32(b) {
		return 0, 0
	}
	return at, common(w.bytes[at:], b[:min(len(b), mostLiteral-mostPrefix)])
}
