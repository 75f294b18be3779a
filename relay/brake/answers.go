package brake

import (
	"container/list"
	"time"
)

// answers are the latest answers of one provider to one campaign: a ring of bits, set for a refusal.
type answers struct {
	place   place
	bits    []uint64
	size    int // bits of the ring
	next    int // where the next one goes
	heard   int // answers in the ring
	refused int // refusals in the ring
	words   string
	last    time.Time     // when it was refused last
	age     *list.Element // its place in Watch.byAge
}

// newAnswers is a ring of the latest 2 × after answers.
func newAnswers(p place, after int) *answers {
	return &answers{place: p, size: 2 * after, bits: make([]uint64, (2*after+63)/64)}
}

// add notes an answer. The oldest is forgotten when the ring is full.
func (a *answers) add(refusal bool) {
	word, bit := &a.bits[a.next/64], uint64(1)<<(a.next%64)
	switch {
	case a.heard < a.size:
		a.heard++
	case *word&bit != 0:
		a.refused--
	}
	*word &^= bit
	if refusal {
		*word |= bit
		a.refused++
	}
	a.next = (a.next + 1) % a.size
}

// enough reports whether the refusals among them are as many as after, and more than half.
func (a *answers) enough(after int) bool { return a.refused >= after && 2*a.refused > a.heard }
