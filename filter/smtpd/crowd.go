package smtpd

import "time"

// Who holds as many connections as there may be, and does nothing with them, must not keep others out. So a new connection takes the place
// of one that has been idle between messages. A connection with a message under way has its own bounds, and none is evicted at once: a
// flood of new ones does not drive out those that work.
const (
	// idleEnough is how long a connection has been idle that is evicted.
	idleEnough = 10 * time.Second
	// looks is at how many connections a new one looks for one that is idle: a flood costs no walk over all of them.
	looks = 64
)

// replyEvicted is for a client that has been idle for long.
var replyEvicted = reply{421, "4.3.2", "too many connections, and this one is idle"}

// makeRoom evicts the session that has been idle for longest among some, and reports false when there is none. d.mu is held.
func (d *Door) makeRoom() bool {
	var longest *session
	since, left := time.Now().Add(-idleEnough), looks
	for s := range d.sessions { // begins anywhere
		if began, idle := s.idleSince(); idle && began.Before(since) {
			longest, since = s, began
		}
		if left--; left == 0 {
			break
		}
	}
	if longest == nil || !longest.makeWay() {
		return false
	}
	d.evicted++
	longest.evicted = true
	return true
}

// idleSince is when the session began to wait for its present command. idle: no message is under way, and the session does not end.
func (s *session) idleSince() (began time.Time, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since, !s.busy && !s.over
}

// makeWay ends an idle session, and reports false when it is none any more.
func (s *session) makeWay() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy || s.over {
		return false
	}
	s.over = true
	s.door.refuse(s.nc, replyEvicted) // the session's own goroutine only reads now, and finds the connection closed
	return true
}
