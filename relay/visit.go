package relay

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// noRelay is the relay of a visit that reached no host.
const noRelay = "none"

// Visit is one attempt to deliver a node. It holds the node, alone, until Handler.Settle.
type Visit struct {
	Node *Node
	// Began is when the node left its queue, Setup how long the connection took to be made for it, Ended when the last
	// reply was in.
	Began time.Time
	Setup time.Duration
	Ended time.Time

	Site    string // the site that it was for, as the pool names it; "": none was known
	Relay   string // "host[address]:port", or "none"
	ConnUse int
	Fates   []Fate // one for each recipient of Node.Rcpts
	Avoid   string // with Again: do not visit this host next, another of the site may take it

	tenant *Tenant // against whose limits the visit counts until Settle; nil: nobody's
	begun  bool
	record Record // that the visit was begun; nil: nothing to wait for
	event  Event  // memory for what Settle tells
}

// Key is the key of the queue that the node of v comes from; it holds until Settle.
func (v *Visit) Key() Key { return v.Node.queue.Key }

// Visit takes the next node of q, or returns nil when q is empty.
func (h *Handler) Visit(q *Queue) *Visit {
	n := h.queues.pull(q)
	if n == nil {
		return nil
	}
	return h.newVisit(n)
}

// Serve makes a visit of the node that must go next from l, by the line's order. It counts against its tenant's limits until Settle. Serve
// returns nil when nothing may go now: l.Opens tells when something may, if it is time that holds mail back.
func (h *Handler) Serve(l *Line, now time.Time) *Visit {
	for q := l.serve(now); q != nil; q = l.serve(now) {
		v := h.Visit(q)
		if v == nil { // another agent was faster
			l.giveBack(q)
			q.Flow.owner().refund()
			continue
		}
		v.tenant = q.Flow.owner()
		if q.Len() == 0 {
			l.dismiss(q)
		}
		return v
	}
	return nil
}

// discount ends what the visit counts against its tenant's limits.
func (v *Visit) discount() {
	if slices.ContainsFunc(v.Fates, func(f Fate) bool { return f.Outcome != Again || !f.Untried }) {
		v.tenant.conclude()
	} else {
		v.tenant.refund()
	}
	v.tenant = nil
}

func (h *Handler) newVisit(n *Node) *Visit {
	v, _ := h.visits.Get().(*Visit)
	if v == nil {
		v = new(Visit)
	}
	v.Node, v.Began, v.Relay = n, time.Now(), noRelay
	return v
}

// Recycle takes the memory of a visit that was settled, for another one. The caller must not use v any more; nobody has to call it.
func (h *Handler) Recycle(v *Visit) {
	clear(v.Fates)
	*v = Visit{Fates: v.Fates[:0]}
	h.visits.Put(v)
}

// Begin makes the journal record that v is about to be sent, and with it its companions: the nodes of the same message
// that wait in other queues whose key sameSite accepts (nil: none), as long as they have no more than room recipients, so that one
// transaction carries all recipients at a site (RFC 5321 section 4.5.4.1). For the limits of a tenant they are one. It returns all of them, v first, and does not
// wait for the record: that is what Visit.Recorded is for. They are appended to visits. On an error, that of Unwritable, nothing was begun.
func (h *Handler) Begin(visits []*Visit, v *Visit, room int, sameSite func(Key) bool) ([]*Visit, error) {
	if err := h.Unwritable(); err != nil {
		return visits, err
	}
	if t := h.queues.key(v.Node).Flow.owner(); t != nil && v.tenant == nil { // it is not from Serve
		t.force(v.Began)
		v.tenant = t
	}
	begun := len(visits)
	visits = h.companions(append(visits, v), v, room, sameSite)
	for _, v := range visits[begun:] {
		v.begun, v.record = true, h.queues.deps.Journal.Begin(v.Node)
	}
	return visits, nil
}

// Unwritable returns why the journal can record nothing now, or nil. No visit may be sent meanwhile.
func (h *Handler) Unwritable() error { return h.queues.deps.Journal.Unwritable() }

// Recorded waits until it is on record that v was begun, and reports whether it had to. The receiver must not get the end of the message
// before: if the daemon were killed then, nobody would know that the message may be delivered twice. Recorded gives up when ctx is done.
func (v *Visit) Recorded(ctx context.Context) (waited bool, err error) {
	if v.record == nil {
		return false, nil
	}
	done := v.record.Done()
	select {
	case <-done:
		return false, v.record.Err()
	default:
	}
	select {
	case <-done:
		return true, v.record.Err()
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// companions appends visits of the nodes of v's message that may share its transaction.
func (h *Handler) companions(visits []*Visit, v *Visit, room int, sameSite func(Key) bool) []*Visit {
	m := v.Node.Message
	if sameSite == nil || m.NodeCount() == 1 || v.Node.Class() != m.Class() {
		return visits
	}
	for _, n := range m.Nodes {
		if room <= 0 {
			break
		}
		// Whether it waits is asked first: it is cheaper than to look a route up.
		if n == v.Node || !h.queues.waits(n, m.Class()) || !sameSite(h.queues.key(n)) || !h.queues.pullFrom(n, m.Class()) {
			continue
		}
		visits = append(visits, h.newVisit(n))
		room -= len(n.Rcpts())
	}
	return visits
}

// PutBack makes the visit one that never was: Settle puts the node back to the front of its queue, uncharged.
func (v *Visit) PutBack() {
	v.FailAll(Again, smtp.Reply{})
	for i := range v.Fates {
		v.Fates[i].Untried = true
	}
}

// maxFaults is how many visits of a node may end by a fault of our own before our MTA gets the node back.
const maxFaults = 3

// Broken ends a visit that met a fault of our own, a panic: the node is charged and waits, so that a message that brings the
// fault about cannot do so again at once. After a few of them our MTA gets it back, which may not have the fault.
func (v *Visit) Broken(reply smtp.Reply) {
	if v.Node.beside().faults++; v.Node.aside.faults >= maxFaults && v.Node.Class() == ClassRemote {
		v.HandBack(reply)
	} else {
		v.FailAll(Deferred, reply)
	}
	for i := range v.Fates {
		v.Fates[i].Twice = v.begun // nobody knows how far it got
	}
}

// HandBack makes Settle give the message back to our own MTA, for a reason that no later visit could change. A
// node of another class than ClassRemote goes to the MTA anyway and must not be handed back.
func (v *Visit) HandBack(why smtp.Reply) {
	v.FailAll(Deferred, why)
	for i := range v.Fates {
		v.Fates[i].Unfit = true
	}
}

// FailAll gives every recipient of the visit the same outcome.
func (v *Visit) FailAll(o Outcome, reply smtp.Reply) {
	v.Fates = v.Fates[:0]
	for _, r := range v.Node.Rcpts() {
		v.Fates = append(v.Fates, Fate{Rcpt: r, Outcome: o, Reply: reply})
	}
	v.Ended = time.Now()
}
