package relay

import (
	"sync/atomic"
	"time"
)

// Key is what the messages of one queue have in common: the routing.
type Key struct {
	Domain string // lower-case A-label
	Class  string // ClassRemote or ClassInject
	Flow   *Flow  // with whose mail it takes turns; nil: nobody's in particular
}

// QueueState is where a queue stands on its way to a channel. Exactly one holds at a time, and only these changes happen:
//
//	loose   → lined, claimed, gone
//	lined   → loose    (it was picked)
//	claimed → loose    (the claim ended)
//
// A queue that is emptied while it is lined or claimed stays in the map until it is loose again. Until then nodes for its
// key may join it.
type QueueState uint32

const (
	// QueueLoose: the queue stands in no line. Agents are fetching its nodes, or it was picked a moment ago. Whoever adds
	// a node puts the queue in line.
	QueueLoose QueueState = iota
	// QueueLined: the queue stands in a line, the handler's or that of its site.
	QueueLined
	// QueueClaimed: the carrier keeps the queue out of every line until something is known that it asked for.
	QueueClaimed
	// QueueGone: the queue was empty and has left the map. No node is added any more.
	QueueGone
)

var queueStateNames = [...]string{"loose", "lined", "claimed", "gone"}

// String is the state's name, for tests and traces.
func (s QueueState) String() string { return queueStateNames[s] }

// follows says which state may come before each.
var follows = [...]func(QueueState) bool{
	QueueLoose:   func(old QueueState) bool { return old == QueueLined || old == QueueClaimed },
	QueueLined:   func(old QueueState) bool { return old == QueueLoose },
	QueueClaimed: func(old QueueState) bool { return old == QueueLoose },
	QueueGone:    func(old QueueState) bool { return old == QueueLoose },
}

// Queue is a FIFO of nodes that need the same handling, so that they can be sent at once. The mutex of its shard guards
// the fields for which nothing else is said.
type Queue struct {
	Key

	shard      *shard
	older      *Queue // sibling
	head, tail *Node
	active     atomic.Int32 // nodes linked; written under the shard's mutex, read anywhere
	busy       int          // nodes held by visits
	foreseen   int          // first nodes whose visits the journal expects, about
	reason     *Reason      // why the carrier keeps the nodes waiting; nil: it does not

	state atomic.Uint32        // a QueueState; changed by enter alone
	line  atomic.Pointer[Line] // the line it stands in; changed under that line's mutex

	weight int32 // nodes that the load of line counts; guarded by that load's mutex

	// Guarded by the mutex of line.
	strand        *strand
	ahead, behind *Queue    // of strand
	passedOver    time.Time // since when its tenant's mail was, when it left its last line; zero: it was not
	served        int       // nodes since its turn among the queues of strand began
	inLine        time.Time
	turn          uint64 // order of arrival
	rank          int
	rankIndex     int32
}

// Len is the number of nodes that wait in q now.
func (q *Queue) Len() int { return int(q.active.Load()) }

// FirstRcpts is how many recipients the node has that goes next; 0 when there is none.
func (q *Queue) FirstRcpts() int {
	q.shard.mu.Lock()
	defer q.shard.mu.Unlock()
	if q.head == nil {
		return 0
	}
	return len(q.head.Rcpts())
}

// State is where q stands now.
func (q *Queue) State() QueueState { return QueueState(q.state.Load()) }

// enter changes the state of q to next. It reports false, and changes nothing, when next may not follow the present one.
func (q *Queue) enter(next QueueState) bool {
	for {
		old := q.state.Load()
		if !follows[next](QueueState(old)) {
			return false
		}
		if q.state.CompareAndSwap(old, uint32(next)) {
			return true
		}
	}
}

// Claim keeps q out of every line until Unclaim, for the given reason. It reports false when q is in line, claimed
// already or gone.
func (q *Queue) Claim(why Reason) bool {
	if !q.enter(QueueClaimed) {
		return false
	}
	q.Wait(why)
	return true
}

// Unclaim ends what Claim began. It does not put q in line: Handler.Ready and Line.Push do.
func (q *Queue) Unclaim() {
	q.enter(QueueLoose)
	q.Resume()
	q.dropIfEmpty()
}

// Wait says why the nodes of q wait, and until when.
func (q *Queue) Wait(why Reason) {
	q.shard.mu.Lock()
	defer q.shard.mu.Unlock()
	if q.claimed() {
		q.shard.claimed -= q.Len()
	}
	if q.reason = nil; why.Waits() {
		q.reason = &why
	}
	if q.claimed() {
		q.shard.claimed += q.Len()
	}
}

// claimed reports whether a reason of its own keeps the nodes of q from being sent. The shard's mutex is held.
func (q *Queue) claimed() bool { return q.reason != nil && q.reason.Holds() }

// heldBy is what keeps all mail of the queue waiting, or the zero Reason. The shard's mutex is held.
func (q *Queue) heldBy() Reason {
	if l := q.line.Load(); l != nil {
		if why := l.why.Load(); why != nil {
			return *why
		}
	}
	if q.reason != nil {
		return *q.reason
	}
	return Reason{}
}

// waits is why the nodes of q wait, for whoever asks: what holds them, or their tenant's limit. The shard's mutex is held.
func (q *Queue) waits() Reason {
	why := q.heldBy()
	if !why.Holds() && q.State() == QueueLined {
		if limit := q.Flow.holds(time.Now()); limit.Waits() {
			return limit
		}
	}
	return why
}

// Resume says that nothing keeps the nodes of q waiting.
func (q *Queue) Resume() { q.Wait(Reason{}) }

// dropIfEmpty takes q out of the map when it is loose and has no nodes, waiting or busy.
func (q *Queue) dropIfEmpty() {
	q.shard.mu.Lock()
	q.shard.drop(q)
	q.shard.mu.Unlock()
}

// pushBack links n at the end. The shard's mutex is held.
func (q *Queue) pushBack(n *Node) {
	n.prev, n.next = q.tail, nil
	if q.tail != nil {
		q.tail.next = n
	} else {
		q.head = n
	}
	q.tail = n
	q.linked(n)
}

// pushFront links n before all others. The shard's mutex is held.
func (q *Queue) pushFront(n *Node) {
	n.prev, n.next = nil, q.head
	if q.head != nil {
		q.head.prev = n
	} else {
		q.tail = n
	}
	q.head = n
	if q.foreseen > 0 {
		q.foreseen++
	}
	q.linked(n)
}

func (q *Queue) linked(n *Node) {
	n.queue, n.state = q, stateActive
	q.shard.ages[n.Class()].add(n, n.Message.ageFrom())
	q.grow(1)
}

// grow counts nodes that were linked, or unlinked. The shard's mutex is held.
func (q *Queue) grow(nodes int) {
	q.active.Add(int32(nodes))
	q.shard.active += nodes
	if q.claimed() {
		q.shard.claimed += nodes
	}
	if l := q.line.Load(); l != nil {
		l.weigh(q)
	}
}

// count counts visits that hold nodes of q, or do no more. The shard's mutex is held.
func (q *Queue) count(busy int) {
	q.busy += busy
	q.shard.busy += busy
}

// unlink takes n out of q; n becomes busy. The shard's mutex is held.
func (q *Queue) unlink(n *Node) {
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		q.head = n.next
		q.foreseen = max(q.foreseen-1, 0)
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		q.tail = n.prev
	}
	n.prev, n.next = nil, nil
	q.shard.ages[n.Class()].drop(n)
	n.state = stateBusy
	q.grow(-1)
	q.count(1)
}
