package delta

import (
	"errors"

	"github.com/millrace/millrace/relay/packed"
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

// Fits reports why view and part do not make a message, nil if they do. It finds all that Join finds, and takes half of the time or
// less: of what coders would write it calculates the size alone.
func Fits(view, part []byte, s *Scratch) error {
	size, _, err := head(part)
	if err != nil {
		return err
	}
	s.join.dry = true
	_, err = s.join.run(view, part, size)
	s.join.dry = false
	return err
}

// joiner is one Join.
type joiner struct {
	dry       bool // nothing is made: pieces stays empty, and coders write nothing
	pieces    [][]byte
	left      int // bytes of the message that are not in pieces yet
	recipe    []byte
	stretches int
	before    int // bytes until the stretch begins
	size      int // bytes of the stretch that are still to come
	coder     coder
	places    []byte

	seen     int    // bytes of the stretch that have come
	gathered []byte // they, if they are in more than one piece
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
		if !j.add(o.literal) || !j.add(o.copy) {
			o.Fail()
		}
	}
	if o.Bad || j.left != 0 || j.size > 0 || j.stretches > 0 {
		return nil, ErrDamaged
	}
	return j.pieces, nil
}

// begin keeps the recipe: the stretches that stand before the ops. It checks all of it.
func (j *joiner) begin(r *reader) {
	j.stretches = r.number()
	j.before, j.size, j.seen, j.gathered = 0, 0, 0, j.gathered[:0]
	if j.stretches > len(r.Rest) {
		r.Fail()
		return
	}
	start := r.Rest
	for range j.stretches {
		r.stretch()
	}
	j.recipe = start[:len(start)-len(r.Rest)]
	j.next()
}

// next goes on to the next stretch of the recipe.
func (j *joiner) next() {
	if j.stretches == 0 {
		return
	}
	r := reader{packed.Of(j.recipe)}
	t, places := r.stretch()
	j.before, j.coder, j.size, j.places = t.before, t.coder, t.size, places
	j.recipe = r.Rest
	j.stretches--
}

// add adds bytes of the view of the message. It reports false if the message does not have so many.
func (j *joiner) add(b []byte) bool {
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
	if !j.count(len(b)) {
		return false
	}
	if len(b) > 0 && !j.dry {
		j.pieces = append(j.pieces, b)
	}
	return true
}

// count notes that the message has n bytes more.
func (j *joiner) count(n int) bool {
	if n > j.left {
		return false
	}
	j.left -= n
	return true
}

// gather collects bytes of a stretch, and codes them when they are all there. Bytes that are in one piece are not copied for it. Where
// their number is enough, they are not collected.
func (j *joiner) gather(b []byte) bool {
	if len(b) > j.left-j.seen { // no coder makes less of them
		return false
	}
	j.size -= len(b)
	j.seen += len(b)
	if counted := j.dry && j.coder.kind == coderBase64; !counted && (j.size > 0 || len(j.gathered) > 0) {
		j.gathered = append(j.gathered, b...)
		b = j.gathered
	}
	return j.size > 0 || j.code(b)
}

// code ends a stretch of these bytes.
func (j *joiner) code(b []byte) (ok bool) {
	if j.dry {
		var n int
		n, ok = j.coder.size(j.seen, b, j.places)
		ok = ok && j.count(n)
	} else {
		from := len(j.coded)
		j.coded, ok = j.coder.code(j.coded, b, j.places)
		ok = ok && j.piece(j.coded[from:len(j.coded):len(j.coded)])
	}
	j.seen, j.gathered = 0, j.gathered[:0]
	j.next()
	return ok
}
