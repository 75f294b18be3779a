package relay

import (
	"runtime"
	"time"
)

// courtesy makes long work, like an Act about a million messages, leave the processor to doors and deliveries. Gosched would not
// do: it gives way to other goroutines, and neither to another process nor to what waits at a socket. So the work sleeps after
// each piece, as long as mail comes or goes. While there is none it goes on at full speed. One goroutine uses it.
type courtesy struct {
	queues *QueueMap
	begun  time.Time     // of the piece of work under way
	piece  time.Duration // how long it may last
	seen   int64         // of counts.traffic, at the last look
	moved  time.Time     // when that was another number last
}

// Work and rest take turns of about the same length: nobody sleeps for much less than a millisecond. Who sleeps for longer,
// because much is to be done, may work for longer.
const (
	rest        = time.Millisecond
	longestWork = 2 * rest
	trafficFor  = 250 * time.Millisecond // how long mail that came or went speaks of more to come
)

// courtesy returns the courtesy of work that begins now.
func (m *QueueMap) courtesy() *courtesy {
	return &courtesy{queues: m, begun: time.Now(), piece: rest, seen: m.traffic()}
}

// rest lets others have the processor if a piece of work is done. The work calls it often, and holds no lock.
func (c *courtesy) rest() {
	now := time.Now()
	if now.Sub(c.begun) < c.piece {
		return
	}
	if c.disturbs(now) {
		time.Sleep(rest)
	} else {
		runtime.Gosched()
	}
	c.begun = time.Now()
	c.piece = min(max(c.begun.Sub(now), rest), longestWork)
}

// disturbs reports whether mail comes or goes meanwhile.
func (c *courtesy) disturbs(now time.Time) bool {
	if n := c.queues.traffic(); n != c.seen {
		c.seen, c.moved = n, now
	}
	return now.Sub(c.moved) < trafficFor
}

// traffic grows with mail that is offered, taken and visited. What an admin deletes or has handed back does not count.
func (m *QueueMap) traffic() int64 {
	c := &m.counts
	n := c.taken.Load() + c.sent.Load() + c.deferrals.Load() + c.bounced.Load() + c.noticesSent.Load()
	if m.lever != nil && m.lever.deps.Offered != nil {
		n += m.lever.deps.Offered()
	}
	return n
}
