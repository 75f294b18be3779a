package delta

import "encoding/binary"

// text is the literals of a part so far. Both sides of a part have the same one, so that a literal, or a piece of one, that comes
// again need not be written again.
type text struct {
	bytes []byte // of all literals that are not too long, one behind the other
	last  [mostRecent][]byte
	grams [1 << gramBits]uint16 // where four bytes stand in bytes, plus one; only the side that writes uses it
}

const (
	mostRecent  = 7
	mostLiteral = 512 // a longer literal is not in the text, and not packed
	gramBits    = 9
)

func (t *text) reset() { t.bytes, t.last = t.bytes[:0], [mostRecent][]byte{} }

// recent is the place of b among the last literals, or -1.
func (t *text) recent(b []byte) int {
	for i, l := range t.last {
		if len(l) == len(b) && string(l) == string(b) {
			return i
		}
	}
	return -1
}

// again puts the literal at place i of the last ones first, and returns it.
func (t *text) again(i int) []byte {
	b := t.last[i]
	copy(t.last[1:i+1], t.last[:i])
	t.last[0] = b
	return b
}

// add puts a new literal first.
func (t *text) add(b []byte) {
	copy(t.last[1:], t.last[:])
	t.last[0] = b
}

// from is the text from at on.
func (t *text) from(at int) []byte { return t.bytes[at:len(t.bytes):len(t.bytes)] }

// learn adds b to the text in which find looks.
func (t *text) learn(b []byte) {
	if len(b) > mostLiteral {
		return
	}
	at := len(t.bytes)
	t.bytes = append(t.bytes, b...)
	for at = max(at-3, 0); at+4 <= min(len(t.bytes), 1<<16-1); at++ {
		t.grams[slot(t.bytes[at:])] = uint16(at) + 1
	}
}

func slot(b []byte) uint32 { return binary.LittleEndian.Uint32(b) * 2654435761 >> (32 - gramBits) }

// find returns where in the text something stands that b begins with, and how long it is.
func (t *text) find(b []byte) (at, n int) {
	if len(b) < leastPiece {
		return 0, 0
	}
	at = int(t.grams[slot(b)]) - 1
	if at < 0 {
		return 0, 0
	}
	return at, common(t.bytes[at:], b[:min(len(b), mostLiteral-mostPrefix)])
}
