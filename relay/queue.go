package relay

import (
	"sync/atomic"
	"time"
)

// Key is what the messages of one queue have in common: the routing.
type Key struct {
	Domain string // lower-case A-label
	Class  string // ClassRemote or ClassInject
}

// Queue is a FIFO of nodes that need the same handling, so that they can be sent at once.
// It is guarded by the mutex of its shard but for what is said otherwise.
type Queue struct {
	Key

	shard      *shard
	head, tail *Node
	todo       atomic.Int32 // nodes linked; written under the shard's mutex, read anywhere
	busy       int          // nodes held by visits
	gone       bool         // it left the map; no node may be added any more
	reason     string       // why its carrier keeps it waiting
	until      time.Time    // and until when

	parked atomic.Bool          // it stands in a line, or its carrier keeps it
	line   atomic.Pointer[Line] // the line it stands in; changed under that line's mutex

	// Guarded by the mutex of line.
	ahead, behind *Queue
	inLine        time.Time
	turn          uint64 // order of arrival
	rank          int
	rankIndex     int
}

// Len is the number of nodes that wait in q now.
func (q *Queue) Len() int { return int(q.todo.Load()) }

// Park keeps q out of every line until Handler.Unpark. It reports false when q already stands in one or is parked.
func (q *Queue) Park() bool { return q.parked.CompareAndSwap(false, true) }

// Unpark ends what Park began without putting q in line.
func (q *Queue) Unpark() { q.parked.Store(false) }

// Wait says why the nodes of q wait and until when; an empty reason says that they do not.
func (q *Queue) Wait(reason string, until time.Time) {
	q.shard.mu.Lock()
	q.reason, q.until = reason, until
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
	q.linked(n)
}

func (q *Queue) linked(n *Node) {
	n.queue, n.state = q, stateTodo
	q.todo.Add(1)
}

// take unlinks n, which becomes busy. The shard's mutex is held.
func (q *Queue) take(n *Node) {
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		q.head = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		q.tail = n.prev
	}
	n.prev, n.next = nil, nil
	n.state = stateBusy
	q.todo.Add(-1)
	q.busy++
}
