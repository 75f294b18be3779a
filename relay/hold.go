package relay

import (
	"slices"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// How a node is kept out of its queue. A node that would join its queue, or the deferrals, is held instead if a decree says so:
// then it waits in the deferrals for the end of the decree or of its life, and is looked at again there. A node that is deferred
// when it is held stays where it is, and is looked at again when it would be visited. Nothing else looks at held nodes, so that a
// million of them cost nothing.

// lockDecided locks the shard of n and returns the decree by which n must wait, or nil. It holds until the lock is given back.
func (m *QueueMap) lockDecided(s *shard, n *Node) *decree {
	for {
		s.mu.Lock()
		ds, class := m.decrees.Load(), n.Class()
		if ds == nil {
			return nil
		}
		if !ds.sites {
			return ds.of(n, class, time.Now())
		}
		s.mu.Unlock() // the pool, which knows the sites, has locks that come before this one
		d := ds.of(n, class, time.Now())
		s.mu.Lock()
		if m.decrees.Load() == ds && n.Class() == class {
			return d
		}
		s.mu.Unlock()
	}
}

// mustWait reports whether n, which is busy and the caller's, must wait by a decree, so that our MTA does not get it either.
func (m *QueueMap) mustWait(n *Node) bool {
	ds := m.decrees.Load()
	return ds != nil && ds.of(n, n.Class(), time.Now()) != nil
}

// divert sees to it that n, which is about to wait, waits as the lever wants: held by d, the decree of lockDecided, or not at all,
// because something is done to it. It reports false when n may wait where it would. n is not yet lent to anybody, the shard's lock is
// held, and divert gives it back if it reports true. deferring says that the visit of n has failed.
func (m *QueueMap) divert(s *shard, n *Node, d *decree, deferring bool) bool {
	if m.lever == nil {
		return false
	}
	deed := n.decree
	if dr := m.drain.Load(); deed == nil && dr != nil && n.Class() == ClassRemote && (dr.late(time.Now()) || deferring && d == nil) {
		deed = dr.deed
	}
	switch {
	case deed != nil:
		n.decree, n.state = nil, stateBusy
		s.mu.Unlock()
		m.lever.carryOut(n, deed)
	case d != nil && !(deferring && d.act.Verb == VerbPause): // by the time of its next visit the pause may be over
		first := m.detain(s, n, d)
		s.mu.Unlock()
		if first {
			m.lever.handler.deferrals.nudge()
		}
	default:
		return false
	}
	return true
}

// detain holds n, which is in no queue, by d. It reports whether the deferrals need a nudge. The shard's mutex is held.
func (m *QueueMap) detain(s *shard, n *Node, d *decree) (nudge bool) {
	n.decree, n.state = d, stateHeld
	d.nodes.Add(1)
	s.note(m.key(n), 0, 1)
	n.due = instantOf(m.lever.handler.heldUntil(n, d, time.Now()))
	return m.lever.handler.deferrals.insert(n)
}

// heldUntil is when n is looked at again that d holds: when the pause is over, at the end of its life, or, because that end may be moved by
// a reload, after the longest wait of the schedule.
func (h *Handler) heldUntil(n *Node, d *decree, now time.Time) time.Time {
	at := now.Add(h.retry().longest())
	if end := h.lastChance(n.Message); end.Before(at) {
		at = end
	}
	if until := d.act.Until; !until.IsZero() && until.Before(at) {
		at = until
	}
	if !at.After(now) {
		at = now.Add(time.Minute) // its end is rationed
	}
	return at
}

// heldFor is why held node n waits, and until when. The shard's mutex is held.
func (h *Handler) heldFor(n *Node) Reason {
	why := n.decree.why
	if end := h.retry().expires(n.Message); why.Until.IsZero() || end.Before(why.Until) {
		why.Until = end
	}
	return why
}

// recall counts n out of the deferred nodes, or out of those that are held; it is busy from then on. It returns the decree by which n was
// held, or nil. The mutex is held.
func (s *shard) recall(n *Node, key Key) (by *decree) {
	if n.state != stateHeld {
		s.note(key, -1, 0)
	} else if s.note(key, 0, -1); !n.decree.deed() {
		by, n.decree = n.decree, nil
		by.nodes.Add(-1)
	}
	n.state = stateBusy
	return by
}

// detach takes n out of where it waits; it is busy from then on. It reports false when n does not wait, or was given to somebody in
// this moment. The mutex is held.
func (m *QueueMap) detach(s *shard, n *Node) bool {
	switch n.state {
	case stateActive:
		q := n.queue
		q.unlink(n)
		n.queue = nil
		q.count(-1)
		s.drop(q)
		return true
	case stateDeferred, stateHeld:
		if m.lever.handler.deferrals.cancel(n) {
			s.recall(n, m.key(n))
			return true
		}
	}
	return false
}

// wakeHeld goes on with n, which was held until now: it expires, is held on, or joins its queue.
func (h *Handler) wakeHeld(n *Node) {
	now := time.Now()
	d := h.queues.decrees.Load().of(n, n.Class(), now)
	if d == nil || now.Before(h.lastChance(n.Message)) || !h.policy.Load().ration.admits(n.Message, now) {
		h.queues.link(n)
		return
	}
	h.conclude(n, Expired, smtp.Reply{Code: 554, Enhanced: "4.4.7", Lines: []string{"delivery time expired; " + d.why.Text}})
}

// conclude settles all recipients of n, which is busy and in no visit, with the same outcome.
func (h *Handler) conclude(n *Node, o Outcome, reply smtp.Reply) {
	h.queues.gather(n)
	v := h.newVisit(n)
	v.FailAll(o, reply)
	h.Settle(v)
	h.Recycle(v)
}

// gather lets the deferred recipients of busy node n join the others.
func (m *QueueMap) gather(n *Node) {
	s := m.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(n.later()) > 0 {
		n.setRcpts(slices.Concat(n.Rcpts(), n.later()))
		n.setLater(nil)
	}
}
