package relay

import (
	"cmp"
	"iter"
	"runtime"
	"slices"
	"time"
)

// Status counts what is in the map and what happened since start.
func (h *Handler) Status() Status {
	m := h.queues
	c := &m.counts
	s := Status{
		Taken: c.taken.Load(), Restored: c.restored.Load(), Removed: c.removed.Load(),
		Messages: c.messages.Load(), Bytes: m.budget.Used(AccountMail) + m.budget.Used(AccountNotices), Wrappers: int64(m.wrappers.Held()),
		Sent: c.sent.Load(), Deferrals: c.deferrals.Load(), Bounced: c.bounced.Load(),
		Expired: c.expired.Load(), HandedBack: c.handedBack.Load(), Deleted: c.deleted.Load(), MaybeTwice: c.maybeTwice.Load(),
		Notices: c.notices.Load(), NoticesSent: c.noticesSent.Load(), NoticesLost: c.noticesLost.Load(),
	}
	stalled := c.stalled.Load()
	for i := range m.shards {
		stalled += m.shards[i].sum(&s)
	}
	s.Deferred = max(s.Deferred+int64(h.deferrals.Len()), 0)
	stalled = min(stalled, s.Active) // the numbers are of moments one after the other
	s.Held, s.Active = s.Held+stalled, s.Active-stalled
	return s
}

// sum adds what the shard counts. It returns how many of the nodes in queues are in queues that are kept from being sent.
func (s *shard) sum(st *Status) (claimed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Queues += int64(s.number)
	st.Active += int64(s.active)
	st.Busy += int64(s.busy)
	st.Held += int64(s.holding)
	st.Deferred -= int64(s.holding)
	return int64(s.claimed)
}

// EachQueue yields the queues, and the domains that have only deferred nodes, in no order, until yield returns false. What comes
// or goes meanwhile may be missed. No lock is held while yield runs.
func (m *QueueMap) EachQueue(yield func(QueueStatus) bool) {
	some := make([]QueueStatus, 0, mostAtOnce)
	for i := range m.shards {
		if !m.shards[i].each(some, yield) {
			return
		}
	}
}

// each is EachQueue for one shard. It uses the room of some.
func (s *shard) each(some []QueueStatus, yield func(QueueStatus) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.spots { // the map may change between two steps of the loop, while pause has let the lock go
		st := p.status(key, s.flows.own)
		if st.nodes() == 0 { // it was emptied while it stood in line
			continue
		}
		if some = append(some, st); len(some) < mostAtOnce {
			continue
		}
		if !s.pause(some, yield) {
			return false
		}
		some = some[:0]
	}
	return s.pause(some, yield)
}

// pause lets the lock go, yields some queues, and lets others have the processor.
func (s *shard) pause(some []QueueStatus, yield func(QueueStatus) bool) bool {
	s.mu.Unlock()
	defer s.mu.Lock()
	for _, st := range some {
		if !yield(st) {
			return false
		}
	}
	runtime.Gosched()
	return true
}

// Queues lists what EachQueue yields, the longest first: so many at most, or for 0 all.
func (m *QueueMap) Queues(most int) []QueueStatus {
	top := NewTop(most, QueueStatus.compare)
	for st := range m.EachQueue {
		top.Add(st)
	}
	return top.List()
}

// compare orders queues: the longer one comes first.
func (st QueueStatus) compare(o QueueStatus) int {
	return cmp.Or(cmp.Compare(o.nodes(), st.nodes()),
		cmp.Compare(st.Domain, o.Domain), cmp.Compare(st.Class, o.Class), cmp.Compare(st.Tenant, o.Tenant), cmp.Compare(st.Flow, o.Flow))
}

func (st *QueueStatus) include(q *Queue) {
	st.Active += q.Len()
	st.Busy += q.busy
	if why := q.waits(); why.Waits() {
		st.ReasonStatus = why.Status()
	}
	if q.head != nil {
		if t := q.head.Message.Arrived().Unix(); st.Oldest == 0 || t < st.Oldest {
			st.Oldest = t
		}
		if last, _ := ParseID(st.Last); q.tail.Message.ID > last {
			st.Last = q.tail.Message.ID.String()
		}
	}
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Messages yields every message with unsettled recipients, in the order in which they were taken, until yield returns false. It
// misses none that is here all the time. No lock is held while yield runs.
func (h *Handler) Messages(yield func(Listing) bool) { h.messagesFrom(0, yield) }

// MessagesAfter is Messages from behind the message with that ID, which may be gone.
func (h *Handler) MessagesAfter(id ID) iter.Seq[Listing] {
	return func(yield func(Listing) bool) {
		if next := id + 1; next != 0 {
			h.messagesFrom(next, yield)
		}
	}
}

func (h *Handler) messagesFrom(id ID, yield func(Listing) bool) {
	h.queues.walkFrom(id, func(some []*Message) bool {
		for _, msg := range some {
			if l := h.listing(msg); len(l.Recipients) > 0 && !yield(l) {
				return false
			}
		}
		return true
	})
}

// MessagesNamed finds messages by our ID or the MTA's queue id, the oldest first. The MTA may give a short queue id again as
// soon as it has handed a message to us, so there may be several of one name.
func (h *Handler) MessagesNamed(name string) []Listing {
	var found []Listing
	for _, msg := range h.queues.named(name) {
		if l := h.listing(msg); len(l.Recipients) > 0 {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b Listing) int {
		return cmp.Or(cmp.Compare(a.ArrivalTime, b.ArrivalTime), cmp.Compare(a.ID, b.ID))
	})
	return found
}

// listing describes a message from its nodes.
func (h *Handler) listing(msg *Message) Listing {
	l := Listing{
		QueueName: "deferred", QueueID: msg.Name(), ID: msg.ID.String(), ArrivalTime: msg.Arrived().Unix(),
		MessageSize: msg.Content.Size(), Sender: msg.From(), Rule: msg.Rule(), FlowListing: msg.Flow().listing(), Expires: h.retry().expires(msg).Unix(),
	}
	for _, n := range msg.Nodes {
		h.listNode(&l, n)
	}
	if len(l.Recipients) > 0 && !slices.ContainsFunc(l.Recipients, func(r ListedRcpt) bool { return r.DelayKind != ReasonHold }) {
		l.QueueName = "hold"
	}
	return l
}

func (h *Handler) listNode(l *Listing, n *Node) {
	s := h.queues.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.state == stateGone {
		return
	}
	why, state := n.waitsFor(), n.state.String()
	switch {
	case n.state == stateHeld:
		why = h.heldFor(n)
	case n.state == stateActive && why.Holds():
		state = "held"
	case n.state != stateDeferred:
		l.QueueName = "active"
	}
	for _, i := range slices.Concat(n.Rcpts(), n.later()) {
		l.Recipients = append(l.Recipients, ListedRcpt{
			Address: n.Message.Rcpt(i).Addr, Domain: n.Domain, State: state,
			Attempts: int(n.Visits), DelayReason: why.Text, NextAttempt: why.UnixNext(), DelayKind: why.Kind, DelayWho: why.Who,
		})
	}
}

// waitsFor is why n waits: its own last failure while it is deferred, else what holds its queue up. A node that waits for
// its turn only has no time of its own. The shard's mutex is held.
func (n *Node) waitsFor() Reason {
	own := Reason{Text: n.Reason()}
	if n.Reason() != "" {
		own.Kind = ReasonReply
	}
	switch {
	case n.state == stateDeferred:
		own.Until = n.Due()
	case n.state == stateActive && n.queue != nil && n.queue.waits().Waits():
		return n.queue.waits()
	case own.Waits():
		own.Kind = ReasonNone // it waited for that, and does no more
	}
	return own
}

// tally counts e. Our own notifications are counted apart: no MTA gave them to us, and no receiver of a campaign gets them.
func (c *counts) tally(e *Event) {
	if e.MaybeTwice {
		c.maybeTwice.Add(1)
	}
	if e.Kind != EventSettled {
		return
	}
	switch own := e.Message.Class() == ClassInject; {
	case own && e.Outcome == Sent:
		c.noticesSent.Add(1)
		return
	case own && e.Outcome != Deferred:
		c.noticesLost.Add(1)
		return
	}
	switch e.Outcome {
	case Sent:
		c.sent.Add(1)
	case Deferred:
		c.deferrals.Add(1)
	case Bounced:
		c.bounced.Add(1)
	case Expired:
		c.expired.Add(1)
	case HandedBack:
		c.handedBack.Add(1)
	case Deleted:
		c.deleted.Add(1)
	}
}
