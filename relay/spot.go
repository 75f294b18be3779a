package relay

// spot is what waits by one Key. Most of a million domains have one queue or one deferred node, so that a spot is small and stands in
// the map itself.
type spot struct {
	youngest       *Queue // of the siblings; Queue.older is the next
	deferred, held int32  // nodes that wait in the Deferrals, and that are held there
}

// spotKey is a Key without its class, which follows from the flow: ours is of ClassInject, and no other.
type spotKey struct {
	domain string
	flow   *Flow
}

func (k Key) spot() spotKey { return spotKey{k.Domain, k.Flow} }

// note counts nodes that wait in the Deferrals more, or less. The mutex is held.
func (s *shard) note(key Key, deferred, held int32) {
	p := s.spots[key.spot()]
	p.deferred, p.held = p.deferred+deferred, p.held+held
	s.set(key, p)
	s.holding += int(held)
}

// set replaces a spot, or forgets it with the last that waits there. The mutex is held.
func (s *shard) set(key Key, p spot) {
	if p == (spot{}) {
		delete(s.spots, key.spot())
		return
	}
	s.spots[key.spot()] = p
}

// queueFor returns the youngest queue of key with room for one more, made when there is none. The mutex is held.
func (s *shard) queueFor(key Key, maxLength int) *Queue {
	p := s.spots[key.spot()]
	for q := p.youngest; q != nil; q = q.older {
		if q.Len() < maxLength {
			return q
		}
	}
	p.youngest = &Queue{Key: key, shard: s, older: p.youngest}
	s.set(key, p)
	s.number++
	s.flows.retain(key.Flow)
	s.budget.Charge(AccountMail, queueCost)
	return p.youngest
}

// drop takes q out of the map when it is loose and has no nodes, waiting or busy. The mutex is held, so that no node can
// join meanwhile.
func (s *shard) drop(q *Queue) {
	if q.head != nil || q.busy > 0 || !q.enter(QueueGone) {
		return
	}
	p := s.spots[q.spot()]
	for at := &p.youngest; *at != nil; at = &(*at).older {
		if *at == q {
			*at = q.older
			break
		}
	}
	s.set(q.Key, p)
	s.number--
	s.flows.disown(q.Flow)
	s.budget.Refund(AccountMail, queueCost)
}

// status describes what waits at a spot. The mutex is held.
func (p spot) status(key spotKey, own *Flow) QueueStatus {
	st := QueueStatus{Domain: key.domain, FlowListing: key.flow.Name().listing(), Deferred: int(p.deferred), Held: int(p.held)}
	if key.flow == own {
		st.Class = ClassInject
	}
	for q := p.youngest; q != nil; q = q.older {
		st.Siblings++
		st.include(q)
	}
	return st
}

// nodes is how many nodes st counts.
func (st *QueueStatus) nodes() int { return st.Active + st.Busy + st.Deferred + st.Held }
