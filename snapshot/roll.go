package snapshot

import "github.com/millrace/millrace/relay"

// leafBits: two to the power of it messages share a leaf.
const leafBits = 3

// leaf holds the messages whose ids are the same but for the lowest bits.
type leaf [1 << leafBits]*entry

// roll finds messages by id. Ids are given out in a row, so that a place in a map, which is about 30 bytes, serves eight messages of a
// campaign that waits. A message that is left alone by its neighbours keeps 64 bytes of a leaf for itself.
type roll struct {
	leaves map[relay.ID]*leaf // by the upper bits
	n      int
}

func newRoll() roll { return roll{leaves: make(map[relay.ID]*leaf)} }

// of returns the message with this id, or nil.
func (r *roll) of(id relay.ID) *entry {
	if l := r.leaves[id>>leafBits]; l != nil {
		return l[id%relay.ID(len(l))]
	}
	return nil
}

// enter adds e, which is not there yet.
func (r *roll) enter(e *entry) {
	id := e.msg.ID
	l := r.leaves[id>>leafBits]
	if l == nil {
		l = new(leaf)
		r.leaves[id>>leafBits] = l
	}
	l[id%relay.ID(len(l))] = e
	r.n++
}

// drop forgets the message with this id, which is there.
func (r *roll) drop(id relay.ID) {
	l := r.leaves[id>>leafBits]
	l[id%relay.ID(len(l))] = nil
	r.n--
	if *l == (leaf{}) {
		delete(r.leaves, id>>leafBits)
	}
}

// residents are the messages that stand in a segment: how many, and where the roll has them. Most are those that were taken while the
// segment was written to, whose ids are near each other. Nothing is noted for each of them: when a segment is nearly finished,
// its messages are looked for, once.
type residents struct {
	n           int
	first, last relay.ID   // between them are the ids of those that were taken; 0: there are none
	others      []relay.ID // of the others, copies above all; some may stand here no more
	walked      int        // leaves and others that the walk has seen
}

const (
	// maxGap is how far from the last the next id between first and last may be: an id is given to a message when the door begins it.
	maxGap = 1 << 20
	// maxLooks bounds how many leaves one walk looks at, and with it how long the ledger's lock is held: to half a millisecond.
	maxLooks = 1 << 13
)

// add counts a message that stands in the segment now. A copy may have any id.
func (r *residents) add(id relay.ID, copied bool) {
	r.n++
	switch {
	case !copied && r.last == 0:
		r.first, r.last = id, id
	case r.first <= id && id <= r.last:
	case !copied && id > r.last && id-r.last <= maxGap:
		r.last = id
	default:
		r.others = append(r.others, id)
	}
}

// back counts a message that was here before and is again. The walk must find it.
func (r *residents) back() {
	r.n++
	r.walked = 0
}

// walk gives messages that stand in s to f, which may move them, until f returns false. It goes on where the walk before has ended, and
// ends behind the last one or after so many looks. tired says that the looks ended it.
func (r *roll) walk(s *segment, f func(*entry) bool) (tired bool) {
	leaves := 0
	if s.lives.last > 0 {
		leaves = int(s.lives.last>>leafBits-s.lives.first>>leafBits) + 1
	}
	for range maxLooks {
		var found leaf
		switch i := s.lives.walked; {
		case i < leaves:
			if l := r.leaves[s.lives.first>>leafBits+relay.ID(i)]; l != nil {
				found = *l
			}
		case i-leaves < len(s.lives.others):
			found[0] = r.of(s.lives.others[i-leaves])
		default:
			s.lives.walked = 0
			return false
		}
		for _, e := range found {
			if e != nil && e.seg == s && !f(e) {
				return false
			}
		}
		s.lives.walked++
	}
	return true
}
