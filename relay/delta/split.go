package delta

import "math/bits"

const (
	leastMove = 10 // of another place of it
	leastTail = 3  // of its end
)

// Likeness is how well the message of the last Read fits the reference, from 0 to 100. It is an estimate, from samples.
func (r *Reference) Likeness(s *Scratch) int {
	const samples, tries = 64, 2 * leastStride // the index has one of so many neighbours at least, unless it lost them
	v, x := s.view, r.indexed()
	if len(v) < gram+tries {
		return 0
	}
	hits := 0
	for i := range samples {
		at := i * (len(v) - gram - tries) / samples
		for k := range tries {
			if x.has(load(v, at+k)) {
				hits++
				break
			}
		}
	}
	return hits * 100 / samples
}

// Split returns the part of the message of the last Read that r does not have: Join makes the message of r's view and of that
// part. It reports false when the part would be larger than most, or when it would not give the message back byte for byte,
// which it checks.
func (r *Reference) Split(s *Scratch, most int) (part []byte, ok bool) {
	s.out.begin(s)
	m := matcher{index: r.indexed(), ref: r.view, view: s.view, out: &s.out, most: most}
	if !m.run() || len(s.out.b) > most {
		return nil, false
	}
	return s.checked(r.view)
}

// matcher goes over a view and a reference at once.
type matcher struct {
	*index
	ref, view []byte
	out       *writer
	most      int
	literal   int // where in the view the bytes begin that no op has yet
	expected  int // where in ref the next copy is expected if no bytes stand before it
	gaps      [8]gap
	next      int // of the gaps
}

// gap is bytes of the view that stand between two copies, and how far the second one is from where it is expected.
type gap struct {
	bytes []byte
	shift int
}

// run writes the ops. It reports false as soon as the part is sure to be larger than most.
func (m *matcher) run() bool {
	at, from := 0, 0 // in view, in ref
	for {
		n := common(m.view[at:], m.ref[from:])
		if n > 0 {
			m.copy(at, from, n)
			at, from = at+n, from+n
		}
		var found bool
		if at, from, found = m.resume(at, from); !found {
			break
		}
		if len(m.out.b) > m.most {
			return false
		}
	}
	if m.literal < len(m.view) {
		if len(m.view) > m.reach() {
			return false
		}
		m.end()
	}
	return true
}

// end writes what is left, with a copy of the last bytes of ref if both end in the same way.
func (m *matcher) end() {
	at, from := len(m.view), len(m.ref)
	for at > m.literal && from > 0 && m.view[at-1] == m.ref[from-1] {
		at, from = at-1, from-1
	}
	if len(m.view)-at < leastTail {
		at, from = len(m.view), m.expected+len(m.view)-m.literal
	}
	m.copy(at, from, len(m.view)-at)
}

// copy writes what stands before at, and n bytes of ref.
func (m *matcher) copy(at, from, n int) {
	if at-m.literal > near {
		if m.folds(at); m.literal == at && n == 0 {
			return
		}
	}
	g := gap{m.view[m.literal:at], from - m.expected - (at - m.literal)}
	m.out.op(g.bytes, g.shift, n)
	m.literal, m.expected = at+n, from+n
	if len(g.bytes) <= mostLiteral {
		m.gaps[m.next%len(m.gaps)] = g
		m.next++
	}
}

// resume finds the next place behind at that is in ref too: where it is expected, or else where a gram is that stands in ref
// once. It goes back from there as far as both are the same. Behind many bytes that are not in ref, a signature, its steps are
// longer, by one than those of the index, so that they meet whatever the distance.
func (m *matcher) resume(at, from int) (int, int, bool) {
	if at, from, ok := m.again(at, from); ok {
		return at, from, true
	}
	view, ref, slots, shift := m.view[:min(len(m.view), m.reach()+gram)], m.ref, m.slots, m.shift
	for step := 1; at+gram <= len(view); at, from = at+step, from+step {
		g := load(view, at)
		if from+gram <= len(ref) && load(ref, from) == g {
			return m.back(at, from)
		}
		if h := hash(g); (slots[h>>shift]^uint32(h))&^twice == 0 {
			if other := m.find(g); other >= 0 {
				if at, from, ok := m.back(at, other); ok && m.worth(at, from) {
					return at, from, true
				}
			}
		}
		if at-m.literal >= near {
			step = m.stride + 1
		}
	}
	return 0, 0, false
}

// near is how many bytes are looked at one by one.
const near = 64

// again looks for the same bytes as in one of the last gaps, and behind them for the same way on: a personal id stands in each
// link.
func (m *matcher) again(at, from int) (int, int, bool) {
	for i := range m.gaps {
		g := &m.gaps[i]
		next, to := at+len(g.bytes), from+len(g.bytes)+g.shift
		if len(g.bytes) == 0 || next+gram > len(m.view) || to < 0 || to+gram > len(m.ref) {
			continue
		}
		if load(m.view, next) == load(m.ref, to) && string(m.view[at:next]) == string(g.bytes) {
			return next, to, true
		}
	}
	return 0, 0, false
}

// back goes back from a place that view and ref have in common.
func (m *matcher) back(at, from int) (int, int, bool) {
	for at > m.literal && from > 0 && m.view[at-1] == m.ref[from-1] {
		at, from = at-1, from-1
	}
	return at, from, true
}

// folds copies what stands before at and is where it is expected, however short: the line breaks of a signature.
func (m *matcher) folds(at int) {
	most := min(at-4, len(m.view)-gram, len(m.ref)-gram-m.expected+m.literal)
	for i := m.literal; i <= most; i++ {
		from := m.expected + i - m.literal
		if x := load(m.view, i) ^ load(m.ref, from); uint32(x) == 0 { // four bytes
			n := min(bits.TrailingZeros64(x)/8, at-i)
			m.out.op(m.view[m.literal:i], 0, n)
			m.literal, m.expected = i+n, from+n
			i = m.literal
		}
	}
}

// worth reports whether what view and ref have in common there, a gram at least, is worth a shift. What is shorter is better
// left in the literal, which may come again as a whole: an address in a domain that others have.
func (m *matcher) worth(at, from int) bool {
	const more = leastMove - gram
	return at+leastMove <= len(m.view) && from+leastMove <= len(m.ref) && load(m.view, at+more) == load(m.ref, from+more)
}

// reach is where in the view the bytes that no op has yet must end, so that the part can be small enough. They take half of their
// length at least, but for those that come again.
func (m *matcher) reach() int {
	return m.literal + max(0, mostLiteral+2*(m.most-len(m.out.b))+1)
}

// common is the length of what a and b begin with in common.
func common(a, b []byte) int {
	most := min(len(a), len(b))
	a, b = a[:most], b[:most]
	n := 0
	for n+block <= most && string(a[n:n+block]) == string(b[n:n+block]) {
		n += block
	}
	for ; n+gram <= most; n += gram {
		if x := load(a, n) ^ load(b, n); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}

// block is how many bytes the runtime compares at once.
const block = 256
