package relay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// A Carrier takes queues to their sites. pool.Manager is one.
type Carrier interface {
	// Carry takes charge of q over a channel of its own and returns at once. True: the nodes are being fetched with
	// Handler.Visit, and Handler.Release is called once when the channel is free again. False: the channel is not used,
	// because the carrier only finds out whether q can be carried, or keeps it parked until that may have changed and
	// then calls Handler.Ready or Handler.Unpark.
	Carry(q *Queue) bool
}

// Handler is the output handler: it picks queues by the map's order while channels are free, hands their nodes out as
// visits, and settles what the visits brought.
type Handler struct {
	queues    *QueueMap
	policy    atomic.Pointer[policy]
	deferrals *Deferrals
	channels  chan struct{} // one token per channel in use
}

// policy is what may change while the daemon runs.
type policy struct {
	retry    RetryConfig
	handback HandbackConfig
}

// NewHandler returns the output handler of m. The configurations have been validated.
func NewHandler(m *QueueMap, retry RetryConfig, handback HandbackConfig) *Handler {
	h := &Handler{queues: m, deferrals: NewDeferrals(), channels: make(chan struct{}, m.cfg.Channels)}
	h.SetPolicy(retry, handback)
	return h
}

// SetPolicy changes when nodes are visited again, given up and handed back; what waits already keeps its due time.
func (h *Handler) SetPolicy(retry RetryConfig, handback HandbackConfig) {
	h.policy.Store(&policy{retry: retry, handback: handback})
}

func (h *Handler) retry() RetryConfig       { return h.policy.Load().retry }
func (h *Handler) handback() HandbackConfig { return h.policy.Load().handback }

// Run picks queues for c until ctx is done and the goroutines it started have ended. Visits under way are not its business.
func (h *Handler) Run(ctx context.Context, c Carrier) {
	var wg sync.WaitGroup
	wg.Go(func() { h.deferrals.Run(ctx, h.wake) }) // ends with ctx
	wg.Go(func() { h.sweepEvery(ctx) })            // ends with ctx
	h.dispatch(ctx, c)
	wg.Wait()
}

// dispatch gives each queue in line a channel, one after the other.
func (h *Handler) dispatch(ctx context.Context, c Carrier) {
	for {
		select {
		case <-ctx.Done():
			return
		case h.channels <- struct{}{}:
		}
		if !h.pick(ctx, c) {
			return
		}
	}
}

// pick waits for a queue the carrier can carry now. It returns false when ctx is done.
func (h *Handler) pick(ctx context.Context, c Carrier) bool {
	line := h.queues.line
	for {
		q := line.Pick()
		switch {
		case q == nil:
			select {
			case <-ctx.Done():
				return false
			case <-line.Signal():
			}
		case q.Len() == 0:
			// It was emptied while it stood in line.
		case c.Carry(q):
			h.more(q)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
	}
}

// more puts q in line again while it has enough nodes for another channel; its carrier decides.
func (h *Handler) more(q *Queue) {
	if q.Len() > 1 {
		h.Ready(q)
	}
}

// Ready puts q in line for a channel, if it has nodes and stands in none.
func (h *Handler) Ready(q *Queue) {
	if q.Len() > 0 {
		h.queues.line.Push(q)
	}
}

// Unpark ends what Queue.Park began and puts q in line.
func (h *Handler) Unpark(q *Queue) {
	q.Unpark()
	h.Ready(q)
}

// Acquire takes a channel for work that was begun without one. It reports false when none is free.
func (h *Handler) Acquire() bool {
	select {
	case h.channels <- struct{}{}:
		return true
	default:
		return false
	}
}

// Crowded reports that queues stand in line while every channel is in use.
func (h *Handler) Crowded() bool {
	return len(h.channels) == cap(h.channels) && h.queues.line.Len() > 0
}

// Release gives a channel back.
func (h *Handler) Release() { <-h.channels }

// Channels is how many channels are in use.
func (h *Handler) Channels() int { return len(h.channels) }

// wake puts a deferred node that is due back into its queue, or a new one for the domain.
func (h *Handler) wake(n *Node) {
	h.queues.due(n)
	now := time.Now()
	switch {
	case h.overdue(n, now):
		h.giveUp(n)
	case h.handback().After > 0 && h.handback().due(n, now):
		h.handBack(n)
	default:
		h.queues.link(n)
	}
}

func (h *Handler) overdue(n *Node, now time.Time) bool {
	return !now.Before(h.retry().expires(n.Message))
}

// postpone makes n, which is in no queue, wait for its Due; but not beyond the end of its life or its hand-back.
func (h *Handler) postpone(n *Node) {
	end := h.retry().expires(n.Message)
	if after := h.handback().After; after > 0 && n.Class == ClassRemote {
		end = earlier(end, n.Message.Arrived.Add(after))
	}
	h.queues.setDeferred(n, earlier(n.Due, end))
	h.deferrals.Add(n)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// giveUp settles a node that waited longer than its lifetime without being visited. It belongs to no queue, or is busy in one.
func (h *Handler) giveUp(n *Node) {
	why := n.Reason
	if why == "" {
		why = "no delivery attempt was possible"
	}
	v := &Visit{Node: n, Relay: "none", Began: time.Now()}
	v.Ended = v.Began
	for _, r := range n.Rcpts {
		v.Fates = append(v.Fates, Fate{Rcpt: r, Outcome: Expired, Reply: smtp.Reply{
			Code: 554, Enhanced: "4.4.7", Lines: []string{"delivery time expired; last: " + why},
		}})
	}
	h.Settle(v)
}

// sweepEvery looks for nodes that wait too long in queues nobody carries: each node expires in every state.
func (h *Handler) sweepEvery(ctx context.Context) {
	tick := time.NewTicker(max(min(h.sweepPeriod(), time.Minute), time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.sweep(time.Now())
		}
	}
}

func (h *Handler) sweepPeriod() time.Duration {
	d := h.retry().Lifetime / 10
	if h.handback().After > 0 {
		d = min(d, h.handback().After/4)
	}
	return d
}

// sweep expires or hands back, shard by shard, what has waited in a queue for too long.
func (h *Handler) sweep(now time.Time) {
	for i := range h.queues.shards {
		expired, back := h.overdueIn(&h.queues.shards[i], now)
		for _, n := range expired {
			h.giveUp(n)
		}
		for _, n := range back {
			h.handBack(n)
		}
	}
}

// overdueIn takes the overdue nodes out of a shard's queues; they are busy then.
func (h *Handler) overdueIn(s *shard, now time.Time) (expired, back []*Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, siblings := range s.queues {
		for _, q := range siblings {
			for n := q.head; n != nil; {
				next := n.next
				switch {
				case h.overdue(n, now):
					n.noteReason(q)
					q.take(n)
					expired = append(expired, n)
				case h.handback().After > 0 && h.handback().due(n, now):
					q.take(n)
					back = append(back, n)
				}
				n = next
			}
		}
	}
	return expired, back
}

// noteReason keeps the reason of the queue for a node that has none of its own.
func (n *Node) noteReason(q *Queue) {
	if q.reason != "" {
		n.Reason = q.reason
	}
}

// handBack moves a busy node to the queue for our own MTA.
func (h *Handler) handBack(n *Node) {
	h.queues.leave(n, stateNew, func() { n.Class, n.handback, n.Due = ClassInject, true, time.Time{} })
	h.queues.Tell(&Event{Kind: EventDeferred, Time: time.Now(), Message: n.Message, Node: n, Rcpt: -1, Relay: "none"})
	h.queues.link(n)
}
