package relay

import (
	"runtime"
	"time"
)

// courtesy makes long work, like an Act about a million messages, leave the processor to doors and deliveries. Gosched would not do:
// it gives way to other goroutines, and neither to another process nor to what waits at a socket. So the work sleeps after each piece,
// as long as mail comes or goes. While there is none it goes on at full speed. One goroutine uses it.
type courtesy struct {
	counts *counts
	begun  time.Time // of the piece of work under way
	seen   int64     // of counts.traffic, at the last look
	moved  time.Time // when that was another number last
}

// A piece of work, the sleep behind it in lengths of the piece, and how long mail that came or went speaks of more to come.
const (
	workPiece  = 500 * time.Microsecond
	restRatio  = 2
	trafficFor = 250 * time.Millisecond
)

// courtesy returns the courtesy of work that begins now.
func (m *QueueMap) courtesy() *courtesy {
	return &courtesy{counts: &m.counts, begun: time.Now(), seen: m.counts.traffic()}
}

// rest lets others have the processor if a piece of work is done. The work calls it often, and holds no lock.
func (c *courtesy) rest() {
	now := time.Now()
	worked := now.Sub(c.begun)
	if worked < workPiece {
		return
	}
	if c.disturbs(now) {
		time.Sleep(restRatio * min(worked, 4*workPiece)) // it may have waited, and not worked
	} else {
		runtime.Gosched()
	}
	c.begun = time.Now()
}

// disturbs reports whether mail comes or goes meanwhile.
func (c *courtesy) disturbs(now time.Time) bool {
	if n := c.counts.traffic(); n != c.seen {
		c.seen, c.moved = n, now
	}
	return now.Sub(c.moved) < trafficFor
}

// traffic grows with mail that is taken and visited. What an admin deletes or has handed back does not count.
func (c *counts) traffic() int64 {
	return c.taken.Load() + c.sent.Load() + c.deferrals.Load() + c.bounced.Load() + c.noticesSent.Load()
}
