package delta

import "encoding/binary"

// form is the first byte of a part.
const form = 1

// What stands in the upper four bits of an op's first byte: which literal it begins with.
const (
	literalNone   = 0
	literalShort  = 6 // 1 to 6: bytes as they are, so many
	literalLong   = 7 // bytes as they are
	literalPacked = 8
	literalAgain  = 9 // and more: one of the recent ones
)

const (
	tokenShift  = 8 // bit of an op's first byte: the copy is not where it is expected
	copyResidue = 7 // the length of a copy, less one, is divided by this: the rest stands in the first byte, plus one
)

// writer writes a part. The package comment has the format.
type writer struct {
	b    []byte
	text written
}

// begin writes all that stands before the ops.
func (w *writer) begin(s *Scratch) {
	w.text.reset()
	w.b = append(w.b[:0], form)
	w.number(len(s.message))
	w.number(len(s.stretches))
	places := s.places
	for _, t := range s.stretches {
		w.number(t.before)
		w.b = append(w.b, t.coder.kind, t.coder.width)
		w.number(t.size)
		if t.coder.kind == coderPlaces {
			w.number(t.places)
			w.b = append(w.b, places[:t.places]...)
			places = places[t.places:]
		}
	}
}

func (w *writer) number(n int) { w.b = binary.AppendUvarint(w.b, uint64(n)) }

// op writes bytes that are in the message only, and then a copy of n bytes of the reference, shift bytes away from where it is
// expected. Either may be empty.
func (w *writer) op(bytes []byte, shift, n int) {
	l, rest := w.text.first(bytes)
	for len(rest) > 0 {
		w.token(l, 0, 0)
		l, rest = w.text.first(rest)
	}
	w.token(l, shift, n)
}

// token writes one literal and one copy.
func (w *writer) token(l literal, shift, n int) {
	at := len(w.b)
	w.b = append(w.b, 0)
	token := w.literal(l) << 4
	if n > 0 {
		if shift != 0 {
			token |= tokenShift
			w.b = binary.AppendVarint(w.b, int64(shift))
		}
		token |= byte((n-1)%copyResidue) + 1
		w.number((n - 1) / copyResidue)
	}
	w.b[at] = token
}

// literal writes l and returns its kind.
func (w *writer) literal(l literal) (kind byte) {
	n := len(l.bytes)
	if n == 0 {
		return literalNone
	}
	i := l.back
	if l.pack != repeated {
		i = w.text.recent(l.bytes)
	}
	if i >= 0 {
		w.text.again(i)
		return literalAgain + byte(i)
	}
	w.text.learn(l)
	switch {
	case l.pack != unpacked:
		w.packed(l)
		return literalPacked
	case n <= literalShort:
		w.b = append(w.b, l.bytes...)
		return byte(n)
	}
	w.number(n - literalLong)
	w.b = append(w.b, l.bytes...)
	return literalLong
}

// packed writes a literal of which a part is packed.
func (w *writer) packed(l literal) {
	w.b = append(w.b, byte(l.pack)<<5|byte(l.prefix))
	n := len(l.bytes) - l.prefix
	if l.pack == packedPiece {
		w.number(l.back)
	}
	if l.pack != packedUUID {
		w.number(n)
	}
	w.b = append(w.b, l.bytes[:l.prefix]...)
	if l.pack != packedPiece {
		w.b = pack(w.b, l.bytes[l.prefix:], l.pack)
	}
}
