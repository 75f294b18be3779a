package delta

// Bounds of the view.
const (
	mostStretch   = 256 << 10 // a larger part of a message stays coded, so that a Join needs little scratch memory
	mostCoded     = 1 << 20   // of one message in all
	mostStretches = 64
	keptScratch   = 1 << 20 // a larger buffer is given back after use
)

// Scratch is memory that is used again for one message after the other: the view of a message, the part while it is written,
// the pieces of a Join. The zero Scratch is ready. Only one goroutine at a time may use a Scratch.
type Scratch struct {
	message   []byte
	view      []byte // of message; message itself if nothing of it is coded
	stretches []stretch

	buffer []byte // what view is made in
	soft   []int  // where in the view the soft breaks of a quoted-printable part were
	places []byte // of soft breaks, of all stretches
	out    writer

	join joiner
}

// stretch is a part of the view that goes through a coder when the message is joined.
type stretch struct {
	before int // bytes of the view since the last stretch, which are in the message as they are
	coder  coder
	size   int // bytes of the view
	places int // bytes of Scratch.places
}

// Read makes message the one that View, Likeness and Split work on. It keeps message, which must not be changed until the next
// Read.
func (s *Scratch) Read(message []byte) {
	s.Forget()
	s.message = message
	v := viewer{Scratch: s}
	for w := (walk{message: message}); !v.full() && w.next(); {
		v.leaf(&w)
	}
	v.finish()
}

// Forget drops the message of the last Read and the pieces of the last Join, and memory that was needed for a very large one.
func (s *Scratch) Forget() {
	s.message, s.view, s.stretches, s.places = nil, nil, s.stretches[:0], s.places[:0]
	if cap(s.buffer) > keptScratch {
		s.buffer, s.soft = nil, nil
	}
	if cap(s.out.b) > keptScratch {
		s.out.b = nil
	}
	if cap(s.out.text.bytes) > keptScratch {
		s.out.text.bytes = nil
	}
	s.join.forget()
}

// raw makes the message its own view, with nothing coded: for a message whose view does not give it back.
func (s *Scratch) raw() { s.view, s.stretches = s.message, s.stretches[:0] }

// View returns the message of the last Read as a reference of its own: its view, and the part that makes the message from that
// view, which it joins and compares with the message. Both are new memory.
func (s *Scratch) View() (view, part []byte) {
	if part, ok := s.whole(); ok {
		return clone(s.view), part
	}
	s.raw()
	part, _ = s.whole() // one copy of the message: nothing in it can fail
	return clone(s.view), part
}

// whole writes the part that is one copy of all of the view, and joins it.
func (s *Scratch) whole() (part []byte, ok bool) {
	s.out.begin(s)
	if len(s.view) > 0 {
		s.out.op(nil, 0, len(s.view))
	}
	pieces, err := s.join.run(s.view, s.out.b, len(s.message))
	if err != nil || !same(s.message, pieces) {
		return nil, false
	}
	return clone(s.out.b), true
}

// same reports whether pieces are message.
func same(message []byte, pieces [][]byte) bool {
	for _, p := range pieces {
		if len(p) > len(message) || string(p) != string(message[:len(p)]) {
			return false
		}
		message = message[len(p):]
	}
	return len(message) == 0
}

// checked returns a copy of the part just written if it makes the message's view from another one, and says how its own becomes the
// message. Read has found out that it does.
func (s *Scratch) checked(view []byte) (part []byte, ok bool) {
	o := &s.join.ops
	o.begin(view, s.out.b)
	if !s.agrees(&o.reader) || !o.make(s.view) {
		return nil, false
	}
	return clone(s.out.b), true
}

// agrees reads what stands before the ops, and reports whether it says of the message what Read has found out.
func (s *Scratch) agrees(r *reader) bool {
	size, rest, err := head(r.Rest)
	r.Rest = rest
	if err != nil || size != len(s.message) || r.number() != len(s.stretches) {
		return false
	}
	left := s.places
	for _, want := range s.stretches {
		got, places := r.stretch()
		if got.places = len(places); r.Bad || got != want || string(places) != string(left[:want.places]) {
			return false
		}
		left = left[want.places:]
	}
	return true
}

// clone copies b into memory of just its size.
func clone(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c
}
