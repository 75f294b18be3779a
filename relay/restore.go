package relay

import "time"

// Restore brings a message back as the recovery agent found it, straight into its queues. Nodes that are not due wait
// in h's deferrals. A message without nodes is done: Restore only tells who may get it twice.
func (m *QueueMap) Restore(s Saved, h *Handler) {
	msg := s.Message
	if len(s.Nodes) == 0 {
		m.doubt(s)
		return
	}
	if m.deps.Flow != nil {
		msg.Slip.Flow = m.deps.Flow(msg)
	}
	m.address(msg)
	live := m.restoreNodes(msg, s.Nodes)
	if len(live) == 0 {
		return
	}
	m.budget.Charge(msg.account(), int64(msg.cost))
	now := time.Now()
	m.wrap(msg, m.flowOf(msg), now)
	msg.open.Store(int32(len(live)))
	m.index(msg)
	m.counts.restored.Add(1)
	m.deps.Gate.admit(msg, live, nil)
	e := m.events.Get().(*Event)
	*e = Event{Kind: EventRestored, Time: now, Message: msg, Rcpt: -1}
	m.Tell(e)
	m.events.Put(e)
	m.doubt(s)
	for _, n := range live {
		if wait := n.Due().Sub(now); wait > 0 {
			// No wait is longer than the longest of the schedule: a later time was written while the clock was wrong.
			n.due = instantOf(now.Add(min(wait, h.retry().longest())))
			h.postpone(n)
		} else {
			m.link(n)
		}
	}
}

// doubt tells of the recipients who may get the message twice because the daemon ended when it did. If the MTA may offer the
// message again, these are all recipients, including those who have it already. Else they are the recipients of nodes whose
// delivery was started and has no reply on record.
func (m *QueueMap) doubt(s Saved) {
	tell := func(kind EventKind, r int) {
		m.Tell(&Event{Kind: kind, Time: time.Now(), Message: s.Message, Rcpt: r, MaybeTwice: true})
	}
	if s.Unheard {
		for r := range s.Message.Rcpts {
			tell(EventUnheard, r)
		}
	}
	for _, n := range s.Nodes {
		for _, r := range n.Rcpts {
			if n.Begun {
				tell(EventInterrupted, r)
			}
		}
	}
}

// restoreNodes gives msg's nodes the recipients that were left, and how far the nodes had got. It returns the nodes with any
// recipients. Each recipient goes to the node of its domain as we see domains today: which names count as one domain may
// have changed since the journal was written.
func (m *QueueMap) restoreNodes(msg *Message, saved []SavedNode) []*Node {
	if n := msg.Node(0); msg.NodeCount() == 1 && len(saved) == 1 && len(saved[0].Rcpts) == msg.RcptCount() {
		m.resume(n, saved[0]) // as most messages are
		return []*Node{n}
	}
	owner := make([]*Node, msg.RcptCount())
	for _, n := range msg.Nodes {
		for _, r := range n.Rcpts() {
			owner[r] = n
		}
	}
	var live []*Node
	left := make([][]int, msg.NodeCount())
	for _, s := range saved {
		for _, r := range s.Rcpts {
			n := owner[r]
			if left[n.Index] == nil {
				m.resume(n, s)
				live = append(live, n)
			}
			left[n.Index] = append(left[n.Index], r)
		}
	}
	for _, n := range msg.Nodes {
		if n.setRcpts(left[n.Index]); left[n.Index] == nil {
			n.state = stateGone
		}
	}
	return live
}

// resume takes over how far a node had got. Mail on its way to an MTA that is there no more is sent to its receiver again.
func (m *QueueMap) resume(n *Node, s SavedNode) {
	if m.deps.NoMTA {
		s.Class = n.Message.Class()
	}
	reason := s.Reason
	s.Reason = ""
	n.Resume(s)
	m.noteReason(n, reason)
}
