package relay

import (
	"slices"
	"time"
)

// maxRequeues is how often a node goes straight back to the front of its queue without progress before that counts as
// a failed visit.
const maxRequeues = 3

// Settle ends a visit: each recipient's fate becomes an Event, unless the recipient is visited again at once, and the node goes
// back to wait or leaves. A visit has no other end.
func (h *Handler) Settle(v *Visit) {
	if v.Ended.IsZero() {
		v.Ended = time.Now()
	}
	v.discount()
	h.limitRequeues(v)
	if h.queues.deps.NoMTA {
		v.strand()
	}
	last := slices.ContainsFunc(v.Fates, Fate.mayExpire) && h.isLast(v)
	var again, later []int
	for i := range v.Fates {
		f := &v.Fates[i]
		v.decide(f, last)
		switch f.Outcome {
		case Again:
			again = append(again, f.Rcpt)
		case Deferred:
			later = append(later, f.Rcpt)
		}
		if f.Outcome != Again {
			h.queues.Tell(v.told(f))
		}
	}
	h.queues.deps.Gate.settled(v.Node, slices.ContainsFunc(v.Fates, Fate.taken), len(later) > 0, v.Ended)
	h.place(v, again, later)
}

// strand makes recipients whom our MTA would get back wait, and expire, like any others: there is no MTA.
func (v *Visit) strand() {
	for i := range v.Fates {
		v.Fates[i].Unfit = false
	}
}

// taken reports that the receiver has the message for this recipient.
func (f Fate) taken() bool { return f.Outcome == Sent }

// limitRequeues turns Again into Deferred for a node that comes back again and again without any progress. A recipient about
// whom the receiver was not asked does not count.
func (h *Handler) limitRequeues(v *Visit) {
	n := v.Node
	if slices.ContainsFunc(v.Fates, func(f Fate) bool { return f.Outcome.Final() }) {
		n.setRequeues(0)
		return
	}
	if !slices.ContainsFunc(v.Fates, Fate.requeued) {
		return
	}
	if n.setRequeues(n.Requeues() + 1); n.Requeues() <= maxRequeues {
		return
	}
	for i := range v.Fates {
		if v.Fates[i].requeued() {
			v.Fates[i].Outcome = Deferred
		}
	}
}

// requeued reports that the recipient goes back to the front although its receiver was asked.
func (f Fate) requeued() bool { return f.Outcome == Again && !f.Untried }

// decide corrects the outcome by what the visit cannot know: a message sent to our own MTA is handed back, and a recipient
// deferred by the last visit has expired.
func (v *Visit) decide(f *Fate, last bool) {
	switch {
	case f.Outcome == Sent && v.Node.handback:
		f.Outcome = HandedBack
	case last && f.mayExpire():
		f.Outcome = Expired
	}
}

// mayExpire reports that the recipient waits on. One that our MTA must have back does not expire here: nobody has tried to deliver it
// yet.
func (f Fate) mayExpire() bool { return f.Outcome == Deferred && !f.Unfit }

// isLast reports whether no visit comes behind v: it began at the end of the node's life, or later. A visit that reached nobody
// while DNS does not answer is no attempt. It is asked once for each visit, because it may use up a ration.
func (h *Handler) isLast(v *Visit) bool {
	return h.overdue(v.Node, v.Began) && (v.Relay != noRelay || h.queues.healthy()) && h.policy.Load().ration.admits(v.Node.Message, v.Ended)
}

// place sends the node where its remaining recipients belong: to the front of its queue, to the deferrals, to our MTA, or away.
func (h *Handler) place(v *Visit, again, later []int) {
	n := v.Node
	switch {
	case len(again) > 0:
		// The deferred recipients join in when these are done: a node is in one place at a time.
		h.queues.unbind(n, stateNew, func() {
			n.setRcpts(again)
			n.setLater(append(n.later(), later...))
			n.avoid(v.Avoid)
			h.queues.noteReason(n, v.reason(n.Reason())) // the visit that ends the wait of the others may have only good news
		})
		if v.begun && len(again) == len(v.Fates) {
			h.queues.Tell(&Event{Kind: EventPutBack, Time: v.Ended, Message: n.Message, Node: n, Rcpt: -1})
		}
		h.queues.enqueue(n, (*Queue).pushFront)
	case len(later)+len(n.later()) > 0:
		h.deferNode(v, append(n.later(), later...))
	default:
		h.queues.unbind(n, stateGone, func() {})
		h.queues.forgetReason(n)
		h.queues.Release(n.Message)
		h.queues.deps.Gate.leave(n) // last: by now there is room for others
	}
}

// deferNode charges the visit and makes n wait, or hands it back to the MTA.
func (h *Handler) deferNode(v *Visit, rcpts []int) {
	n := v.Node
	waits := h.queues.mustWait(n)
	h.queues.unbind(n, stateNew, func() {
		n.setRcpts(rcpts)
		n.setLater(nil)
		n.setRequeues(0)
		n.avoid("")
		n.Visits++
		h.queues.noteReason(n, v.reason(n.Reason()))
		n.due = instantOf(v.Ended.Add(h.retry().Wait(int(n.Visits), h.queues.deps.Chance)))
		if !waits && h.handback().reached(n, v.Ended) || v.unfit() {
			n.inject, n.handback, n.due = true, true, 0
		}
	})
	h.queues.Tell(&Event{Kind: EventDeferred, Time: v.Ended, Message: n.Message, Node: n, Rcpt: -1, Site: v.Site, Relay: v.Relay})
	if n.due == 0 {
		h.queues.deps.Gate.leave(n)
		h.queues.link(n)
	} else {
		h.postpone(n)
	}
}

// unfit reports whether our MTA must have the message back.
func (v *Visit) unfit() bool {
	return slices.ContainsFunc(v.Fates, func(f Fate) bool { return f.Unfit })
}

// reason is the reply for the visit's last deferred recipient, as the mail log shows it; old when none was deferred.
func (v *Visit) reason(old string) string {
	for i := len(v.Fates) - 1; i >= 0; i-- {
		if v.Fates[i].Outcome == Deferred {
			return v.Fates[i].Reply.String()
		}
	}
	return old
}

// told is the Event of one recipient's fate. It stands in the visit's memory until the next one.
func (v *Visit) told(f *Fate) *Event {
	v.event = Event{
		Kind: EventSettled, Time: v.Ended, Message: v.Node.Message, Node: v.Node, Rcpt: f.Rcpt,
		Outcome: f.Outcome, Reply: f.Reply, Site: v.Site, Relay: v.Relay, ConnUse: v.ConnUse, Delays: v.delays(),
		Relayed: f.Relayed, MaybeTwice: f.Twice,
	}
	return &v.event
}

// delays gives Postfix's four parts: before the queue, in the queue, making the connection, transmission. The connection
// was made before the node left its queue, so that Setup is a part of the time in the queue.
func (v *Visit) delays() Delays {
	m := v.Node.Message
	return Delays{
		Before:   max(m.Taken().Sub(m.Arrived()), 0),
		Queue:    max(v.Began.Sub(m.waitsFrom())-v.Setup, 0),
		Setup:    v.Setup,
		Transmit: max(v.Ended.Sub(v.Began), 0),
	}
}
