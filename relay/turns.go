package relay

import "time"

// How a line gives turns. A line has two lanes, of urgent mail and of the rest. A lane has a share for each tenant, a share a ring of
// strands, one for each flow, and a strand the flow's queues in the order of the line. A turn is one node. Tenants have turns in
// proportion to their weights, by passes: each turn moves the tenant's pass on by 1/weight, and the smallest pass has the next turn.
// Unlike a round in which each tenant has all its turns at once, this never makes a light tenant wait for all the turns of a heavy one.
// Flows of one tenant have one turn after the other. A share or a strand without queues is gone at once, so that a line knows of
// flows that wait and of no others. The mutex of the line guards all of it.

// The lanes of a line.
const (
	bulk = iota
	urgent
)

// lane is the waiting queues of one urgency.
type lane struct {
	shares map[*Tenant]*share // nil while there are few
	ready  Heap[*share]       // those whose tenant may go, the smallest pass first
	n      int                // shares
	passed uint64             // the pass of the latest turn
}

// share is the queues of one tenant in a lane.
type share struct {
	tenant *Tenant
	lane   *lane
	next   *strand // whose turn is next; the ring goes on from there
	pass   uint64
	place  int32 // in lane.ready; -1: the tenant is at a limit
	held   int   // in Line.held, while place is -1

	// While its tenant passes it over, guarded by the tenant's mutex.
	since         time.Time // when it was passed over first; zero: it is not
	asked         time.Time
	earlier       time.Time // since when one of its queues was passed over in another line; zero: none was
	before, after *share    // of Tenant.waiting
}

// strand is the queues of one flow in a line.
type strand struct {
	flow          *Flow
	share         *share
	ahead, behind *strand // of the ring

	first, last *Queue        // by arrival
	byLen       *Heap[*Queue] // the longest first, the earlier one among equals; nil when the order is RoundRobin
}

// passScale is how far a pass moves with one turn of weight 1.
const passScale = maxWeight << 10

// step is how far one turn moves the share's pass.
func (s *share) step() uint64 {
	if s.tenant == nil {
		return passScale
	}
	return passScale / uint64(s.tenant.weight.Load())
}

// urgentTurns is how many turns in a row urgent mail has at most while other mail waits.
const urgentTurns = 19

// turnOf is the share whose turn it is, or nil.
func (l *Line) turnOf() *share {
	first, other := &l.lanes[urgent].ready, &l.lanes[bulk].ready
	switch {
	case other.Len() > 0 && (first.Len() == 0 || l.urgentRun >= urgentTurns):
		return other.First()
	case first.Len() > 0:
		return first.First()
	}
	return nil
}

// charge counts a turn of s.
func (l *Line) charge(s *share) {
	ln := s.lane
	if ln == &l.lanes[urgent] && l.lanes[bulk].ready.Len() > 0 {
		l.urgentRun++
	} else {
		l.urgentRun = 0
	}
	ln.passed = max(ln.passed, s.pass)
	s.pass += s.step()
	ln.ready.Moved(s)
	s.next = s.next.behind
}

// served counts a node of q. Behind the last of its slice q stands at the end of its strand, as if it had just come.
func (l *Line) served(q *Queue, now time.Time) {
	st := q.strand
	if q.served++; q.served >= max(l.slice, 1) {
		l.seq++
		q.served, q.inLine, q.turn = 0, now, l.seq
		if q != st.last {
			st.unlink(q)
			st.link(q)
		}
	}
	if st.byLen != nil {
		q.rank = q.Len() - 1
		st.byLen.Moved(q)
	}
}

// giveBack takes back what charge did for q, which turned out to have no node.
func (l *Line) giveBack(q *Queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q.line.Load() != l {
		return
	}
	s := q.strand.share
	s.next = q.strand
	s.pass -= min(s.step(), s.pass)
	if s.place >= 0 {
		s.lane.ready.Moved(s)
	}
	q.served = max(q.served-1, 0)
}

// granted asks the tenant of s for a transaction. If a limit is reached, s is taken out of the turns until its tenant may go again.
func (l *Line) granted(s *share, now time.Time, ask question) bool {
	opened := s.tenant.opened.Load() // before it is asked, so that nothing that opens meanwhile is missed
	again, ok := ask(s.tenant, s, now)
	if ok {
		return true
	}
	if len(l.held) == 0 {
		l.again, l.opened = again, opened
	} else if again.Before(l.again) {
		l.again = again
	}
	s.lane.ready.Remove(s)
	s.held = len(l.held)
	l.held = append(l.held, s)
	return false
}

// unhold takes s out of those that are held.
func (l *Line) unhold(s *share) {
	last := l.held[len(l.held)-1]
	l.held[s.held], last.held = last, s.held
	l.held[len(l.held)-1] = nil
	l.held = l.held[:len(l.held)-1]
}

// readmit lets those held shares have turns again whose tenants may go. It asks them only when one may have come below its limit, or
// the time of one has come.
func (l *Line) readmit(now time.Time) {
	if len(l.held) == 0 {
		return
	}
	opened := l.held[0].tenant.opened.Load() // one counter for all
	if opened == l.opened && now.Before(l.again) {
		return
	}
	l.opened = opened
	var next time.Time
	for i := len(l.held) - 1; i >= 0; i-- {
		s := l.held[i]
		again, ok := s.tenant.look(s, now)
		switch {
		case ok:
			l.unhold(s)
			l.returns(s)
		case next.IsZero() || again.Before(next):
			next = again
		}
	}
	l.again = next
}

// readmitAll lets all shares have turns again.
func (l *Line) readmitAll() {
	for _, s := range l.held {
		l.returns(s)
	}
	l.held = nil
}

// returns puts s, which was held, among those that may go.
func (l *Line) returns(s *share) {
	s.pass = max(s.pass, s.lane.passed) // no turns are saved up
	s.lane.ready.Insert(s)
}

// few is how many flows of a line, or tenants of a lane, are looked through one by one. Most lines never have more: they need no map.
const few = 8

// strandOf finds or makes the strand of f.
func (l *Line) strandOf(f *Flow) *strand {
	if l.strands != nil {
		if st := l.strands[f]; st != nil {
			return st
		}
	}
	ln := &l.lanes[f.lane()]
	s := l.shareOf(ln, f.owner())
	if s != nil && l.strands == nil {
		for st := range s.ring {
			if st.flow == f {
				return st
			}
		}
	}
	if s == nil {
		s = l.openShare(ln, f.owner())
	}
	st := &strand{flow: f}
	st.rankBy(l.order)
	s.join(st)
	l.noteStrand(st)
	return st
}

// noteStrand notes a new strand.
func (l *Line) noteStrand(st *strand) {
	l.flows++
	switch {
	case l.strands != nil:
		l.strands[st.flow] = st
	case l.flows > few:
		l.strands = make(map[*Flow]*strand)
		for st := range l.everyStrand {
			l.strands[st.flow] = st
		}
	}
}

// shareOf finds the share of t in ln, or nil.
func (l *Line) shareOf(ln *lane, t *Tenant) *share {
	if ln.shares != nil {
		return ln.shares[t]
	}
	for s := range l.sharesOf(ln) {
		if s.tenant == t {
			return s
		}
	}
	return nil
}

// openShare makes the share of t in ln.
func (l *Line) openShare(ln *lane, t *Tenant) *share {
	s := &share{tenant: t, lane: ln}
	s.pass = ln.passed + s.step() // as if it had just had a turn
	ln.ready.Insert(s)
	switch ln.n++; {
	case ln.shares != nil:
		ln.shares[t] = s
	case ln.n > few:
		ln.shares = make(map[*Tenant]*share)
		for s := range l.sharesOf(ln) {
			ln.shares[s.tenant] = s
		}
	}
	return s
}

// sharesOf yields the shares of ln, those that are held included.
func (l *Line) sharesOf(ln *lane) func(yield func(*share) bool) {
	return func(yield func(*share) bool) {
		for _, s := range ln.ready.all {
			if !yield(s) {
				return
			}
		}
		for _, s := range l.held {
			if s.lane == ln && !yield(s) {
				return
			}
		}
	}
}

// everyStrand yields the strands of the line.
func (l *Line) everyStrand(yield func(*strand) bool) {
	for i := range l.lanes {
		for s := range l.sharesOf(&l.lanes[i]) {
			for st := range s.ring {
				if !yield(st) {
					return
				}
			}
		}
	}
}

// ring yields the strands of the share.
func (s *share) ring(yield func(*strand) bool) {
	for st := s.next; st != nil; st = st.behind {
		if !yield(st) || st.behind == s.next {
			return
		}
	}
}

// atMost counts the nodes of s, n of them or a few more.
func (s *share) atMost(n int) (nodes int) {
	for st := range s.ring {
		for q := st.first; q != nil && nodes < n; q = q.behind {
			nodes += q.Len()
		}
		if nodes >= n {
			break
		}
	}
	return nodes
}

// join puts st at the end of the ring.
func (s *share) join(st *strand) {
	st.share = s
	if s.next == nil {
		s.next, st.ahead, st.behind = st, st, st
		return
	}
	st.ahead, st.behind = s.next.ahead, s.next
	st.ahead.behind, st.behind.ahead = st, st
}

// dropStrand forgets st, which has no queues any more, and its share with its last strand.
func (l *Line) dropStrand(st *strand) {
	if delete(l.strands, st.flow); l.flows == 1 {
		l.strands = nil // a map does not shrink
	}
	l.flows--
	s := st.share
	if st.behind == st {
		l.closeShare(s)
		return
	}
	st.ahead.behind, st.behind.ahead = st.behind, st.ahead
	if s.next == st {
		s.next = st.behind
	}
}

// closeShare forgets s.
func (l *Line) closeShare(s *share) {
	ln := s.lane
	if delete(ln.shares, s.tenant); ln.n == 1 {
		ln.shares = nil
	}
	ln.n--
	if s.place >= 0 {
		ln.ready.Remove(s)
	} else {
		l.unhold(s)
	}
	s.tenant.withdraw(s)
}

// choose is the queue whose turn it is, by the order of the line. There is one.
func (st *strand) choose(order Order, maxAge time.Duration, now time.Time) *Queue {
	if order == RoundRobin || order == LongestAged && now.Sub(st.first.inLine) > maxAge {
		return st.first
	}
	return st.byLen.First()
}

// link puts q at the end.
func (st *strand) link(q *Queue) {
	q.ahead, q.behind = st.last, nil
	if st.last != nil {
		st.last.behind = q
	} else {
		st.first = q
	}
	st.last = q
}

func (st *strand) unlink(q *Queue) {
	if q.ahead != nil {
		q.ahead.behind = q.behind
	} else {
		st.first = q.behind
	}
	if q.behind != nil {
		q.behind.ahead = q.ahead
	} else {
		st.last = q.ahead
	}
	q.ahead, q.behind = nil, nil
}

// rankBy makes or forgets the order by length.
func (st *strand) rankBy(order Order) {
	st.byLen = nil
	if order == RoundRobin {
		return
	}
	st.byLen = NewHeap(
		func(a, b *Queue) bool { return a.rank > b.rank || a.rank == b.rank && a.turn < b.turn },
		func(q *Queue) *int32 { return &q.rankIndex },
	)
	for q := st.first; q != nil; q = q.behind {
		q.rank = q.Len()
		st.byLen.Insert(q)
	}
}
