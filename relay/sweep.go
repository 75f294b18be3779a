package relay

import (
	"context"
	"time"
)

// mostAtOnce is how many nodes a sweep looks at before it gives the shard's lock back: mail for the shard must not wait for it,
// however much mail has grown old there.
const mostAtOnce = 256

// sweepEvery looks for nodes that wait too long in queues that nobody carries, because a node must also expire when its
// receiver can never be reached (promise P5). It looks at old nodes only, at most once a minute. Wrappers that have rested for long go with it.
func (h *Handler) sweepEvery(ctx context.Context) {
	tick := time.NewTicker(h.sweepPeriod())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.sweep(time.Now())
			h.queues.wrappers.Forget(time.Now())
		}
	}
}

// sweepPeriod is the time between two sweeps.
func (h *Handler) sweepPeriod() time.Duration {
	d := h.retry().Lifetime / 10
	if h.handback().After > 0 {
		d = min(d, h.handback().After/4)
	}
	return max(min(d, time.Minute), time.Second)
}

// sweep expires or hands back, shard by shard, the nodes that have waited in a queue for too long.
func (h *Handler) sweep(now time.Time) {
	healthy := h.queues.healthy()
	for i := range h.queues.shards {
		for h.sweepSome(&h.queues.shards[i], now, healthy) == mostAtOnce {
		}
	}
}

// sweepSome does so for a few nodes of a shard. It returns at how many it has looked. healthy says that DNS answers.
func (h *Handler) sweepSome(s *shard, now time.Time, healthy bool) int {
	r := round{h: h, s: s, now: now, healthy: healthy}
	s.mu.Lock()
	r.inspect(ClassRemote)
	r.inspect(ClassInject)
	s.mu.Unlock()
	for _, n := range r.expired {
		h.giveUp(n)
	}
	for _, n := range r.back {
		h.handBack(n)
	}
	return r.looks
}

// patience is the age at which a node of the class, waiting in a queue, is looked at.
func (h *Handler) patience(class string) time.Duration {
	d := h.retry().Lifetime
	if after := h.handback().After; after > 0 && class == ClassRemote {
		d = min(d, after)
	}
	return d
}

// round is a sweep over a few nodes of a shard, under its lock. Nodes that it takes out of their queues are busy.
type round struct {
	h       *Handler
	s       *shard
	now     time.Time
	healthy bool

	looks         int // nodes looked at
	expired, back []*Node
}

// inspect looks at old nodes of a class.
func (r *round) inspect(class string) {
	ages, patience := r.s.ages[class], r.h.patience(class)
	for ; r.looks < mostAtOnce; r.looks++ {
		n := ages.oldest(r.now.Add(-patience))
		if n == nil {
			return
		}
		switch q := n.queue; {
		case r.h.outlived(n, q, r.now, r.healthy):
			n.noteReason(q)
			q.unlink(n)
			r.expired = append(r.expired, n)
		case r.h.handback().After > 0 && r.h.handback().reached(n, r.now) && !q.paused():
			q.unlink(n)
			r.back = append(r.back, n)
		default:
			// Its time has not come. By the new age the next sweep finds it, and this one does not.
			ages.drop(n)
			ages.add(n, r.now.Add(r.h.sweepPeriod()-time.Second-patience))
		}
	}
}

// noteReason keeps the reason of the queue for a node that has none of its own.
func (n *Node) noteReason(q *Queue) {
	if why := q.heldBy(); why.Waits() {
		n.beside().reason = why.Text
	}
}
