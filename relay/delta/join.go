package delta

import (
	"errors"
	"slices"
)

var (
	// ErrDamaged is returned when a part and a view do not make a message.
	ErrDamaged = errors.New("delta: damaged part or view")
	// ErrForm is returned when a later version of the program wrote a part.
	ErrForm = errors.New("delta: part of an unknown form")
	// ErrLimit is returned when a message would be larger than the caller allows.
	ErrLimit = errors.New("delta: message over the limit")
)

// Size is how many bytes the message of a part has, as the part says.
func Size(part []byte) (int, error) {
	n, _, err := head(part)
	return n, err
}

// head reads the size of the message.
func head(part []byte) (size int, rest []byte, err error) {
	if len(part) == 0 {
		return 0, nil, ErrDamaged
	}
	if part[0] != form {
		return 0, nil, ErrForm
	}
	size, rest, ok := uvarint(part[1:])
	if !ok {
		return 0, nil, ErrDamaged
	}
	return size, rest, nil
}

// Join makes the message of a part again, in pieces of view, of part and of memory of s. They may be read until the next call on
// s, and must not be changed. Whatever the bytes are, Join uses no more memory than a small multiple of limit, which no message
// may exceed, and of the length of part.
func Join(view, part []byte, limit int, s *Scratch) (pieces [][]byte, err error) {
	return s.join.run(view, part, limit)
}

// Fits reports whether view and part fit each other, in a tenth of the time of Join: it reads all of the part, and makes nothing of
// it. What coders make of their bytes stays unknown, so that a part of which Fits thinks well may still not be of the size that it
// says. It is for parts that were joined before they were stored, and stored under a checksum.
func Fits(view, part []byte, s *Scratch) error {
	s.join.dry = true
	defer func() { s.join.dry = false }()
	_, err := s.join.run(view, part, maxNumber)
	return err
}

// joiner is one Join, or one Fits.
type joiner struct {
	dry       bool // Fits: nothing is made
	needs     int  // Fits: bytes of the message's view up to the end of the last stretch
	pieces    [][]byte
	left      int // bytes of the message that are not in pieces yet
	recipe    []byte
	stretches int
	before    int // bytes until the stretch begins
	size      int // bytes of the stretch that are still to come
	coder     coder
	places    []byte

	gathered []byte // bytes of the stretch
	coded    []byte // what coders wrote
	ops      ops
}

func (j *joiner) forget() {
	clear(j.pieces)
	j.pieces, j.recipe, j.places = j.pieces[:0], nil, nil
	j.ops.begin(nil, nil)
	if cap(j.coded)+cap(j.gathered)+cap(j.ops.text.bytes)+cap(j.pieces)*24 > keptScratch {
		j.coded, j.gathered, j.ops.text.bytes, j.pieces = nil, nil, nil, nil
	}
}

func (j *joiner) run(view, part []byte, limit int) ([][]byte, error) {
	j.forget()
	size, rest, err := head(part)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, ErrLimit
	}
	j.left, j.coded = size, j.coded[:0]
	o := &j.ops
	o.begin(view, rest)
	j.begin(&o.reader)
	for o.next() {
		o.bad = !j.add(o.literal) || !j.add(o.copy)
	}
	if ops.bad || !j.complete(size) {
		return nil, ErrDamaged
	}
	return j.pieces, nil
}

// complete reports whether the message has all of its bytes. Coders make no less of the bytes that they get, and mostly more.
func (j *joiner) complete(size int) bool {
	if j.dry {
		return size-j.left >= j.needs && (j.left == 0 || j.needs > 0)
	}
	return j.left == 0 && j.size == 0 && j.stretches == 0
}

// begin keeps the recipe: the stretches that stand before the ops. It checks all of it.
func (j *joiner) begin(r *reader) {
	j.stretches = r.number()
	j.before, j.size, j.needs, j.gathered = 0, 0, 0, j.gathered[:0]
	if j.stretches > len(r.b) {
		r.bad = true
		return
	}
	start := r.b
	for range j.stretches {
		t, _ := r.stretch()
		j.needs = min(min(j.needs+t.before, maxNumber)+t.size, maxNumber)
	}
	if j.dry {
		return
	}
	j.recipe = start[:len(start)-len(r.b)]
	j.next()
}

// next goes on to the next stretch of the recipe.
func (j *joiner) next() {
	if j.stretches == 0 {
		return
	}
	r := reader{b: j.recipe}
	t, places := r.stretch()
	j.before, j.coder, j.size, j.places = t.before, t.coder, t.size, places
	j.recipe = r.b
	j.stretches--
}

// op does one op and returns where the next copy is expected in view.
func (j *joiner) op(r *reader, view []byte, expected int) int {
	token := int(r.byte())
	b := j.literal(r, token>>4)
	r.bad = r.bad || !j.add(b)
	expected += len(b)
	residue := token & copyResidue
	if residue == 0 {
		r.bad = r.bad || len(b) == 0 || token&tokenShift != 0
		return expected
	}
	if token&tokenShift != 0 {
		expected += r.signed()
	}
	n := r.number()
	if r.bad || expected < 0 || expected > len(view) || n > len(view)/copyResidue || n*copyResidue+residue > len(view)-expected {
		r.bad = true
		return 0
	}
	n = n*copyResidue + residue
	r.bad = !j.add(view[expected : expected+n])
	return expected + n
}

// literal returns a literal, which is nil if the part is damaged.
func (j *joiner) literal(r *reader, kind int) []byte {
	switch {
	case kind == literalNone:
		return nil
	case kind >= literalAgain:
		return j.text.again(kind - literalAgain)
	case kind == literalPacked:
		return j.packed(r)
	case kind == literalLong:
		kind += r.number()
	}
	b := r.bytes(kind)
	if len(b) > mostLiteral {
		return b
	}
	at := len(j.text.bytes)
	j.text.bytes = append(j.text.bytes, b...)
	return j.text.added(at)
}

// packed returns a literal of which a part is packed, in the text.
func (j *joiner) packed(r *reader) []byte {
	head := int(r.byte())
	set, prefix, n, back := head>>5, head&mostPrefix, sizeUUID, 0
	if set == packedPiece {
		back = r.number()
	}
	if set != packedUUID {
		n = r.number()
	}
	t := &j.text
	at := len(t.bytes)
	if prefix+n > mostLiteral || back > at || set == packedPiece && n > back || set > packedPiece {
		r.bad = true
		return nil
	}
	t.bytes = append(t.bytes, r.bytes(prefix)...)
	switch set {
	case packedPiece:
		t.bytes = append(t.bytes, t.bytes[at-back:][:n]...)
	case packedUUID:
		if b := r.bytes(packedSize(sizeUUID-4, 0)); !r.bad {
			t.bytes = unpackUUID(t.bytes, b)
		}
	default:
		if b := r.bytes(packedSize(n, set)); !r.bad && j.dry {
			t.bytes = slices.Grow(t.bytes, n)[:at+prefix+n]
		} else if !r.bad {
			t.bytes = unpack(t.bytes, b, n, set)
		}
	}
	return t.added(at)
}

// add adds bytes of the view of the message. It reports false if the message does not have so many.
func (j *joiner) add(b []byte) bool {
	if j.dry {
		j.left -= len(b)
		return j.left >= 0
	}
	for j.size > 0 && len(b) > 0 {
		if j.before > 0 {
			n := min(j.before, len(b))
			if !j.piece(b[:n]) {
				return false
			}
			j.before, b = j.before-n, b[n:]
			continue
		}
		n := min(j.size, len(b))
		if !j.gather(b[:n]) {
			return false
		}
		b = b[n:]
	}
	return j.piece(b)
}

// piece adds bytes of the message.
func (j *joiner) piece(b []byte) bool {
	if len(b) > j.left {
		return false
	}
	if len(b) > 0 {
		j.pieces = append(j.pieces, b)
		j.left -= len(b)
	}
	return true
}

// gather collects bytes of a stretch, and codes them when they are all there. Bytes that are in one piece are not copied for it.
func (j *joiner) gather(b []byte) bool {
	if len(b) > j.left-len(j.gathered) { // no coder makes less of them
		return false
	}
	j.size -= len(b)
	if j.size > 0 || len(j.gathered) > 0 {
		j.gathered = append(j.gathered, b...)
		b = j.gathered
	}
	if j.size > 0 {
		return true
	}
	from := len(j.coded)
	var ok bool
	j.coded, ok = j.coder.code(j.coded, b, j.places)
	j.gathered = j.gathered[:0]
	j.next()
	return ok && j.piece(j.coded[from:len(j.coded):len(j.coded)])
}
