package relay

import "hash/maphash"

// names finds messages by the MTA's queue ids. It keeps a hash of each and half of the message's ID, and no pointer: so it takes
// 14 bytes a message, and the collector does not look at it. Whoever finds a message compares the queue id: another may have the
// same hash.
type names struct {
	seed maphash.Seed
	only map[uint32]uint32 // by the hash, the lower half of the ID
	many map[uint32]int    // how many have the hash, if there were ever two at a time: an MTA may give a short queue id again
}

func newNames(seed maphash.Seed) names {
	return names{seed: seed, only: make(map[uint32]uint32), many: make(map[uint32]int)}
}

func (s *names) hash(name string) uint32 { return uint32(maphash.String(s.seed, name)) }

func (s *names) add(name string, id ID) {
	h := s.hash(name)
	switch _, taken := s.only[h]; {
	case !taken:
		s.only[h] = uint32(id)
	case s.many[h] == 0:
		s.many[h] = 2
	default:
		s.many[h]++
	}
}

func (s *names) remove(name string) {
	h := s.hash(name)
	if n := s.many[h]; n > 1 {
		s.many[h] = n - 1
		return
	}
	delete(s.many, h)
	delete(s.only, h)
}

// find is the lower half of the ID of the only message that may have the name. sure is false when there may be several.
func (s *names) find(name string) (low uint32, ok, sure bool) {
	h := s.hash(name)
	low, ok = s.only[h]
	return low, ok, s.many[h] == 0
}
