package relay

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// How the lever looks at mail. It goes through the index once, a few messages under each lock, and does what it does to each node under
// the lock of the node's shard alone. So doors and deliveries go on, however much mail waits.

// walk yields every message, in the order in which they were taken, a few at a time, until yield returns false. It misses none
// that is here all the time. No lock is held while yield runs, and others have the processor after it: some walks never wait for
// anything.
func (m *QueueMap) walk(yield func(some []*Message) bool) { m.walkFrom(0, yield) }

// walkFrom is walk from the message with the given ID on.
func (m *QueueMap) walkFrom(id ID, yield func(some []*Message) bool) {
	m.walkBy(m.courtesy(), id, yield)
}

// walkBy is walkFrom for a yield that may itself rest by polite.
func (m *QueueMap) walkBy(polite *courtesy, id ID, yield func(some []*Message) bool) {
	room := make([]*Message, 0, mostAtOnce)
	for {
		some := m.messages.from(id, room)
		if len(some) == 0 {
			return
		}
		id = some[len(some)-1].ID + 1
		if !yield(some) || len(some) < mostAtOnce || id == 0 {
			return
		}
		polite.rest()
	}
}

// each yields the messages of walk one by one.
func (m *QueueMap) each(yield func(*Message) bool) {
	m.walk(func(some []*Message) bool {
		for _, msg := range some {
			if !yield(msg) {
				return false
			}
		}
		return true
	})
}

// named is the messages that a name stands for, our id or the MTA's queue id, which several may have, in the order in which they
// were taken. Several are found by a walk.
func (m *QueueMap) named(name string) (all []*Message) {
	if name == "" {
		return nil
	}
	ids := parseIDs(name)
	one, sure := m.messages.named(name)
	if !sure {
		for msg := range m.each {
			if msg.QueueID() == name || slices.Contains(ids, msg.ID) {
				all = append(all, msg)
			}
		}
		return all
	}
	if one != nil {
		all = append(all, one)
	}
	for _, id := range ids {
		if msg := m.messages.byID(id); msg != nil && msg != one {
			all = append(all, msg)
		}
	}
	slices.SortFunc(all, func(a, b *Message) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// named is the ids of the messages that a name stands for.
func (l *Lever) named(name string) (ids []ID) {
	for _, msg := range l.queues.named(name) {
		ids = append(ids, msg.ID)
	}
	return ids
}

// browse yields the messages that d may select, a few at a time, in the order in which they were taken. Those that come after its
// begin are not among them: an Act that makes messages must come to an end.
func (l *Lever) browse(d *decree, polite *courtesy, yield func(some []*Message) bool) {
	if d.act.Selector.ID != "" {
		yield(l.byIDs(d.ids))
		return
	}
	last := l.queues.messages.last()
	l.queues.walkBy(polite, 0, func(some []*Message) bool {
		for len(some) > 0 && some[len(some)-1].ID > last {
			some = some[:len(some)-1]
		}
		return len(some) > 0 && yield(some)
	})
}

// byIDs is those messages that are here.
func (l *Lever) byIDs(ids []ID) (all []*Message) {
	for _, id := range ids {
		if msg := l.queues.messages.byID(id); msg != nil {
			all = append(all, msg)
		}
	}
	return all
}

// concerns reports whether d may be about n, whose message it is about. Of a hold and a pause that is the case while the site is not known.
func (l *Lever) concerns(d *decree, n *Node) bool {
	switch {
	case d.match.Domain != "" && d.match.Domain != n.Domain:
		return false
	case d.match.Site == "":
		return true
	}
	has, known := l.siteHas(n.Domain, d.match.Site)
	return has && known || !known && d.cautious()
}

// each does f to the nodes about which d is, and counts them, until ctx is done. f nil: it only counts.
func (l *Lever) each(ctx context.Context, d *decree, f func(*Node)) (rep ActReport, err error) {
	polite := l.queues.courtesy()
	l.browse(d, polite, func(some []*Message) bool {
		if err = ctx.Err(); err != nil {
			return false
		}
		for i, msg := range some {
			if l.eachNode(&rep, msg, d, f); i%lookEach == lookEach-1 {
				polite.rest()
			}
		}
		if f != nil && l.deps.Pace != nil {
			l.deps.Pace()
		}
		return true
	})
	return rep, err
}

// lookEach is after how many messages an Act looks at the clock: a delivery must not wait for it for milliseconds.
const lookEach = 16

// touches reports whether d is about anything.
func (l *Lever) touches(ctx context.Context, d *decree) (yes bool, err error) {
	l.browse(d, l.queues.courtesy(), func(some []*Message) bool {
		yes = slices.ContainsFunc(some, func(msg *Message) bool {
			var rep ActReport
			l.eachNode(&rep, msg, d, nil)
			return rep.Messages > 0
		})
		err = ctx.Err()
		return !yes && err == nil
	})
	return yes, err
}

// eachNode does f to the nodes of msg about which d is, and counts them. f nil: it only counts.
func (l *Lever) eachNode(rep *ActReport, msg *Message, d *decree, f func(*Node)) {
	if !d.inTime(msg) || !d.match.message(msg) {
		return
	}
	rcpts, busy := 0, false
	for _, n := range msg.Nodes {
		if !l.concerns(d, n) {
			continue
		}
		open, under := l.look(n, d)
		if open == 0 {
			continue
		}
		rcpts += open
		busy = busy || under
		if f != nil {
			f(n)
		}
	}
	rep.include(msg, rcpts, busy)
}

// include counts a message of which so many recipients are selected.
func (r *ActReport) include(msg *Message, rcpts int, busy bool) {
	if rcpts == 0 {
		return
	}
	r.Messages++
	r.Recipients += rcpts
	r.Bytes += msg.Content.Size()
	if busy {
		r.Busy++
	}
}

// look is how many recipients node n has to whom the act of d can be done, and whether they are under way.
func (l *Lever) look(n *Node, d *decree) (rcpts int, busy bool) {
	s := l.queues.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.state == stateGone || !d.match.node(n, n.Class()) || !n.admits(d.act.Verb) {
		return 0, false
	}
	return n.openRcpts(), n.state == stateBusy || n.state == stateNew
}

// admits reports whether the verb can do anything to n. The shard's mutex is held.
func (n *Node) admits(v Verb) bool {
	held := n.state == stateHeld && !n.decree.deed()
	switch v {
	case VerbFlush:
		return !held
	case VerbHold:
		return n.Class() == n.Message.Class()
	case VerbRelease:
		return held && n.decree.act.Verb == VerbHold
	case VerbPause, VerbHandback, VerbDrain:
		return n.Class() == ClassRemote
	}
	return true
}

// reconsider holds n, holds it for another reason, or lets it go, as the decrees in force want it now. A deferred node is held
// by a hold at once; by a pause it is when it is due.
func (l *Lever) reconsider(n *Node) {
	m := l.queues
	s := m.shard(n.Domain)
	d := m.lockDecided(s, n)
	free, nudge := false, false
	switch {
	case n.state == stateHeld && (n.decree.deed() || n.decree == d):
	case n.state == stateHeld && d != nil:
		nudge = m.exchange(n, d)
	case n.state == stateHeld:
		free = m.detach(s, n)
	case d == nil:
	case n.state == stateDeferred && d.act.Verb == VerbHold:
		m.seize(s, n, d)
	case n.state == stateActive:
		if m.detach(s, n) {
			nudge = m.detain(s, n, d)
		}
	}
	s.mu.Unlock()
	if nudge {
		l.handler.deferrals.nudge()
	}
	if free {
		m.link(n)
	}
}

// seize holds n, which is deferred, by d where it waits: it is looked at again when it would be visited. If it is being woken,
// whoever wakes it asks. The shard's mutex is held.
func (m *QueueMap) seize(s *shard, n *Node, d *decree) {
	if !m.lever.handler.deferrals.has(n) {
		return
	}
	n.decree, n.state = d, stateHeld
	d.nodes.Add(1)
	s.note(m.key(n), -1, 1)
}

// exchange lets held node n be held by d. If it is being woken, that goes on, and asks again. The shard's mutex is held.
func (m *QueueMap) exchange(n *Node, d *decree) (nudge bool) {
	h := m.lever.handler
	n.decree.nodes.Add(-1)
	d.nodes.Add(1)
	n.decree = d
	if !h.deferrals.cancel(n) {
		return false
	}
	n.due = instantOf(h.heldUntil(n, d, time.Now()))
	return h.deferrals.insert(n)
}
