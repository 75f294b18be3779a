package relay

import "time"

// A node expires with a visit that began at the end of its life or later, and failed: then nothing expires untried that
// waited through a long stop, a full disk or an outage of DNS. This file is about the nodes that get no such visit, because a
// site that cannot be reached is tried with one node for all. There the failure of that one counts for the others.

// outlived reports whether n, which waits in q, is overdue and its receiver has been tried in vain since. Nothing else that
// holds q up says anything about the receiver: a full disk, a DNS that does not answer, a machine without descriptors, or
// the turns of others. healthy says that DNS answers. The shard's mutex is held.
func (h *Handler) outlived(n *Node, q *Queue, now time.Time, healthy bool) bool {
	if !h.overdue(n, now) {
		return false
	}
	from, l := h.lastChance(n.Message), q.line.Load()
	if !q.paused() && (l == nil || !q.heldBy().blames(healthy) || !l.failedSince(from)) {
		return false
	}
	return !now.Before(from) && h.policy.Load().ration.admits(n.Message, now)
}

// paused reports whether an admin has paused the site of q. The shard's mutex is held.
func (q *Queue) paused() bool { return q.heldBy().Kind == ReasonPause }

// lastChance is from when on a failure at the site counts for the overdue message m. After a restart, or when the lifetime
// was made shorter, that is later than the end of its life: what became overdue all at once must not expire all at once, and
// the first thing to fail after a restart is often our own network.
func (h *Handler) lastChance(m *Message) time.Time {
	p := h.policy.Load()
	from := p.retry.expires(m)
	if p.since.After(from) {
		from = p.since
	}
	if at := m.restored(); !at.IsZero() && at.Add(p.retry.longest()).After(from) {
		from = at.Add(p.retry.longest())
	}
	return from
}

// blames reports whether r is about the receiver and not about us. healthy says that DNS answers.
func (r Reason) blames(healthy bool) bool {
	return !r.Until.IsZero() && (r.Kind == ReasonSite || r.Kind == ReasonDNS && healthy)
}

// healthy reports whether DNS answers, so that its failures are those of the receivers.
func (m *QueueMap) healthy() bool { return m.deps.Healthy == nil || m.deps.Healthy() }

// between counts the messages that are overdue at now by the shorter lifetime, and not by the longer one.
func (m *QueueMap) between(now time.Time, longer, shorter RetryConfig) (n int) {
	for msg := range m.each {
		if !now.Before(shorter.expires(msg)) && now.Before(longer.expires(msg)) {
			n++
		}
	}
	return n
}
