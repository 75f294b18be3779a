package snapshot

import (
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
)

const (
	// overdueAfter is how long the writer may be at one piece of work before it counts as overdue: a disk that takes longer for
	// one fsync is no disk to take mail onto. From then on takes are refused at once.
	overdueAfter = 2 * time.Second
	// maxHeld is how many takes may go on waiting for an overdue commit. Each of them holds a session of the MTA, and a disk
	// that hangs must not hold them all.
	maxHeld = 20
	// maxWaiting is the longest a take waits. The MTA hangs up on a door that does not answer, and offers the message again.
	maxWaiting = 20 * time.Second
)

// workClock says since when the writer has been at its present work. The writer sets it, and anybody reads it without a lock.
type workClock struct {
	base  time.Time
	since atomic.Int64 // after base; 0: it waits for work
}

func (c *workClock) punchIn() { c.since.Store(int64(max(time.Since(c.base), 1))) }

func (c *workClock) punchOut() { c.since.Store(0) }

// overdue returns how long the writer has been at its work, when that is too long; else 0.
func (c *workClock) overdue() time.Duration {
	since := c.since.Load()
	if since == 0 {
		return 0
	}
	if d := time.Since(c.base) - time.Duration(since); d >= overdueAfter {
		return d
	}
	return 0
}

// patience is how long one take goes on waiting.
type patience struct {
	book  *ledger
	began time.Time
	timer *time.Timer
	held  bool // it is counted among those who wait
}

// waitPatiently returns the patience of a take that begins. The timer is made at once: most takes end long before.
func (l *ledger) waitPatiently() *patience {
	l.waiting.Add(1)
	return &patience{book: l, began: time.Now(), timer: time.NewTimer(overdueAfter), held: true}
}

// stop ends the wait.
func (p *patience) stop() {
	p.timer.Stop()
	if p.held {
		p.book.waiting.Add(-1)
	}
}

// over is asked when the timer has rung, and reports whether the take must give up: it has waited for too long, or too many
// wait for a commit that is overdue.
func (p *patience) over() bool {
	if time.Since(p.began) >= maxWaiting {
		return true
	}
	p.timer.Reset(overdueAfter / 4)
	if p.book.overdue() == nil {
		return false
	}
	for n := p.book.waiting.Load(); n > maxHeld; n = p.book.waiting.Load() {
		if p.book.waiting.CompareAndSwap(n, n-1) { // one of them, and not all at once
			p.held = false
			return true
		}
	}
	return false
}

// enlist puts m into the next commit that has room.
func (p *patience) enlist(m *relay.Message) (*batch, error) {
	for {
		b, ok, err := p.book.record(m)
		if err != nil || ok {
			return b, err
		}
		select {
		case <-b.sealed:
		case <-p.timer.C:
			if p.over() {
				return nil, ErrBusy
			}
		}
	}
}

// endure waits for the commit b of m as long as patience has it. A take that gives up is taken back.
func (p *patience) endure(b *batch, m *relay.Message) error {
	for {
		select {
		case <-b.done:
			return b.err
		case <-p.timer.C:
			if p.over() && p.book.takeBack(m.ID) {
				return ErrBusy
			}
		}
	}
}
