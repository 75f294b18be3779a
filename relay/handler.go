package relay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// Handler is the output handler: it gives queues by the map's order to whoever has a channel free, hands their nodes out
// as visits, and settles what the visits brought. It is pulled (Next, Visit, Begin, Settle) and calls nobody who carries.
type Handler struct {
	queues    *QueueMap
	policy    atomic.Pointer[policy]
	deferrals *Deferrals
	visits    sync.Pool // of *Visit: see Recycle
}

// policy is what may change while the daemon runs.
type policy struct {
	retry    RetryConfig
	handback HandbackConfig
	since    time.Time // when its lifetime came into force
	ration   *ration   // of what that lifetime has made overdue; may be nil
}

// NewHandler returns the output handler of m. The configurations have been validated.
func NewHandler(m *QueueMap, retry RetryConfig, handback HandbackConfig) *Handler {
	h := &Handler{queues: m, deferrals: NewDeferrals()}
	h.SetPolicy(retry, handback)
	return h
}

// SetPolicy changes when nodes are visited again, given up and handed back. Nodes that wait already keep their due time. It
// returns how many messages a shorter lifetime has made overdue, and how many of them a minute expire at most: each with a visit
// that fails.
func (h *Handler) SetPolicy(retry RetryConfig, handback HandbackConfig) (overdue, perMinute int) {
	now := time.Now()
	next := &policy{retry: retry, handback: handback, since: now}
	if old := h.policy.Load(); old != nil {
		whole := old.whole()
		switch {
		case retry.Lifetime == old.retry.Lifetime:
			next.since, next.ration = old.since, old.ration
		case retry.Lifetime < whole.Lifetime:
			overdue = h.queues.between(now, whole, retry)
			next.ration = newRation(now, whole, retry, overdue)
		}
	}
	h.policy.Store(next)
	if overdue > 0 {
		perMinute = next.ration.perMinute
	}
	return overdue, perMinute
}

// whole has the lifetime under which the oldest messages were taken: a lifetime may become shorter in two steps, or longer again
// by half of a step.
func (p *policy) whole() RetryConfig {
	whole := p.retry
	if p.ration != nil {
		whole.Lifetime = p.ration.whole
	}
	return whole
}

func (h *Handler) retry() RetryConfig { return h.policy.Load().retry }

// handback says when mail goes back to our MTA. Without an MTA that is never.
func (h *Handler) handback() HandbackConfig {
	if h.queues.deps.NoMTA {
		return HandbackConfig{}
	}
	return h.policy.Load().handback
}

// Run wakes nodes that are due and expires nodes that wait too long, until ctx is done and the goroutines it started have
// ended. Visits under way end on their own.
func (h *Handler) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { h.deferrals.Run(ctx, h.wake) }) // ends with ctx
	h.sweepEvery(ctx)
	wg.Wait()
}

// Next waits for a queue in line and takes it out, by the map's order. It returns nil when ctx is done. The queue is
// loose from then on: a node added meanwhile puts it in line again, so that the caller may carry it over several channels.
func (h *Handler) Next(ctx context.Context) *Queue {
	line := h.queues.line
	for ctx.Err() == nil {
		if q := line.Pick(); q != nil {
			return q
		}
		select {
		case <-ctx.Done():
		case <-line.Signal():
		}
	}
	return nil
}

// MustWait reports whether a hold or a pause lets n wait once its visit has ended. n is busy and the caller's.
func (h *Handler) MustWait(n *Node) bool { return h.queues.mustWait(n) }

// Ready puts q in line for a channel, if it has nodes and is loose.
func (h *Handler) Ready(q *Queue) {
	if q.Len() > 0 {
		h.queues.line.Push(q)
	}
}

// Lined is how many queues stand in line for a channel.
func (h *Handler) Lined() int { return h.queues.line.Len() }

// wake puts a deferred node that is due back into its queue, or into a new queue for the domain.
func (h *Handler) wake(n *Node) {
	if h.queues.undefer(n) != nil {
		h.wakeHeld(n)
		return
	}
	if h.handback().After > 0 && h.handback().reached(n, time.Now()) && !h.queues.mustWait(n) {
		h.handBack(n)
		return
	}
	h.queues.link(n) // also at the end of its life: it expires with a visit that fails, and not without one
}

// overdue reports whether n is at the end of its life at now. Its next visit is its last.
func (h *Handler) overdue(n *Node, now time.Time) bool {
	return !now.Before(h.retry().expires(n.Message))
}

// postpone makes n, which is in no queue, wait for its Due, or for the end of its life or its hand-back if that comes first
// and is still to come.
func (h *Handler) postpone(n *Node) {
	now, due := time.Now(), n.Due()
	bring := func(end time.Time) {
		if end.After(now) && end.Before(due) {
			due = end
		}
	}
	bring(h.retry().expires(n.Message))
	if after := h.handback().After; after > 0 && n.Class() == ClassRemote {
		bring(n.Message.ageFrom().Add(after))
	}
	h.queues.deferUntil(n, due, h.deferrals)
}

// giveUp settles an overdue node whose receiver was tried in vain, though not with this node. It is busy in its queue.
func (h *Handler) giveUp(n *Node) {
	why := n.Reason()
	if why == "" {
		why = "no delivery attempt was possible"
	}
	v := &Visit{Node: n, Relay: noRelay, Began: time.Now()}
	v.Ended = v.Began
	for _, r := range n.Rcpts() {
		v.Fates = append(v.Fates, Fate{Rcpt: r, Outcome: Expired, Reply: smtp.Reply{
			Code: 554, Enhanced: "4.4.7", Lines: []string{"delivery time expired; last: " + why},
		}})
	}
	h.Settle(v)
}

// handBack moves a busy node to the queue for our own MTA.
func (h *Handler) handBack(n *Node) {
	h.queues.unbind(n, stateNew, func() { n.inject, n.handback, n.due = true, true, 0 })
	h.queues.deps.Gate.leave(n)
	h.queues.Tell(&Event{Kind: EventDeferred, Time: time.Now(), Message: n.Message, Node: n, Rcpt: -1, Relay: noRelay})
	h.queues.link(n)
}

// Reroute puts the node of v, which is one that Serve made of line l, back into its queue, and the queue into the line for a channel:
// its mail does not go where the mail of l goes.
func (h *Handler) Reroute(l *Line, v *Visit) {
	q := v.Node.queue
	v.PutBack()
	h.Settle(v)
	if l.remove(q) {
		q.Resume()
		h.Ready(q)
		q.dropIfEmpty()
	}
}

// Postpone makes the node of v wait until a time, uncharged, because nothing of its kind may be sent before.
func (h *Handler) Postpone(v *Visit, why Reason) {
	n := v.Node
	v.discount()
	h.queues.unbind(n, stateNew, func() {
		h.queues.noteReason(n, why.Text)
		n.due = instantOf(why.Until)
	})
	h.postpone(n)
}
