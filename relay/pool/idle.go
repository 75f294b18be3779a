package pool

import (
	"slices"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// lent is a connection and since when it has been idle.
type lent struct {
	*smtp.Conn
	since time.Time
}

// noteOpen counts n connections more.
func (s *Site) noteOpen(n int) {
	s.mu.Lock()
	s.open += n
	s.mu.Unlock()
}

// borrow takes an idle connection that still lives, and none to the host named avoid. It returns nil when there is none.
func (s *Site) borrow(avoid string) *smtp.Conn {
	for c := s.lastIdle(avoid); c != nil; c = s.lastIdle(avoid) {
		if c.Alive() {
			return c
		}
		c.Close()
		s.noteOpen(-1)
	}
	return nil
}

// lastIdle takes the idle connection that was used last, because the peer is least likely to have closed it, and none to the
// host named avoid.
func (s *Site) lastIdle(avoid string) *smtp.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range slices.Backward(s.idle) {
		if avoid == "" || c.Peer().Host != avoid {
			s.idle = slices.Delete(s.idle, i, i+1)
			s.m.countIdle(-1)
			return c.Conn
		}
	}
	return nil
}

// stale takes out the connections that have been idle since before. The caller ends them, outside of the lock: a QUIT is
// I/O.
func (s *Site) stale(before time.Time) (old []*lent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = slices.DeleteFunc(s.idle, func(c *lent) bool {
		if c.since.After(before) {
			return false
		}
		old = append(old, c)
		return true
	})
	s.m.countIdle(-len(old))
	s.open -= len(old)
	return old
}

// shed ends idle connections until no more than most are open.
func (s *Site) shed(most int) {
	s.mu.Lock()
	n := min(max(s.agents+len(s.idle)-most, 0), len(s.idle))
	old := slices.Clone(s.idle[:n]) // those that have been idle for longest
	s.idle = slices.Delete(s.idle, 0, n)
	s.m.countIdle(-n)
	s.open -= n
	s.mu.Unlock()
	for _, c := range old {
		c.Quit()
	}
}

// closeIdle ends the connections that have been idle since before.
func (s *Site) closeIdle(before time.Time) {
	for _, c := range s.stale(before) {
		c.Quit()
	}
}
