package pool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// connections is those of one site: how many are open and being made, and the idle ones, which are kept for the next agent. Its mutex
// is a leaf: it may be taken while that of the site is held.
type connections struct {
	count  func(n int) int64 // Manager.countIdle
	opened *atomic.Int64     // Manager.opened

	mu     sync.Mutex
	idle   []*lent // the latest used last
	open   int     // the idle ones included
	making int     // that are being made
}

// lent is a connection and since when it has been idle.
type lent struct {
	*smtp.Conn
	since time.Time
}

// noteOpen counts n connections more.
func (c *connections) noteOpen(n int) {
	c.mu.Lock()
	c.open += n
	c.mu.Unlock()
	if c.opened != nil {
		c.opened.Add(int64(n))
	}
}

// noteMaking counts n connections more that are being made.
func (c *connections) noteMaking(n int) {
	c.mu.Lock()
	c.making += n
	c.mu.Unlock()
}

// counts is how many connections are open, and idle of them.
func (c *connections) counts() (open, idle int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, len(c.idle)
}

// busy is how many agents have a connection: one that is still connecting adds nothing yet.
func (c *connections) busy() int {
	open, idle := c.counts()
	return open - idle
}

// others is how many connections to the site are open or being made, besides one that is being made.
func (c *connections) others() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open + c.making - 1
}

// idleSince is since when the connection has been idle that was used first; the zero time: none is idle.
func (c *connections) idleSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == 0 {
		return time.Time{}
	}
	return c.idle[0].since
}

// keep takes a connection that is idle now. The manager has counted it.
func (c *connections) keep(conn *smtp.Conn, now time.Time) {
	c.mu.Lock()
	c.idle = append(c.idle, &lent{Conn: conn, since: now})
	c.mu.Unlock()
}

// borrow takes an idle connection that still lives, and none to the host named avoid. It returns nil when there is none.
func (c *connections) borrow(avoid string) *smtp.Conn {
	for conn := c.lastIdle(avoid); conn != nil; conn = c.lastIdle(avoid) {
		if conn.Alive() {
			return conn
		}
		conn.Close()
		c.noteOpen(-1)
	}
	return nil
}

// lastIdle takes the idle connection that was used last, because the peer is least likely to have closed it, and none to the
// host named avoid.
func (c *connections) lastIdle(avoid string) *smtp.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, l := range slices.Backward(c.idle) {
		if avoid == "" || l.Peer().Host != avoid {
			c.idle = slices.Delete(c.idle, i, i+1)
			c.count(-1)
			return l.Conn
		}
	}
	return nil
}

// stale takes out the connections that have been idle since before. The caller ends them, with no lock held: a QUIT is I/O.
func (c *connections) stale(before time.Time) (old []*lent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = slices.DeleteFunc(c.idle, func(l *lent) bool {
		if l.since.After(before) {
			return false
		}
		old = append(old, l)
		return true
	})
	c.count(-len(old))
	c.open -= len(old)
	return old
}

// surplus takes out idle connections until they and so many agents are no more than most: those that have been idle for longest. The
// caller ends them, with no lock held.
func (c *connections) surplus(agents, most int) (old []*lent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(max(agents+len(c.idle)-most, 0), len(c.idle))
	old = slices.Clone(c.idle[:n])
	c.idle = slices.Delete(c.idle, 0, n)
	c.count(-n)
	c.open -= n
	return old
}

// closeIdle ends the connections that have been idle since before.
func (c *connections) closeIdle(before time.Time) { quitAll(c.stale(before)) }

func quitAll(list []*lent) {
	for _, l := range list {
		l.Quit()
	}
}
