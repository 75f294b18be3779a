package pool

import "sync/atomic"

// shutter counts a site among the closed ones while anything keeps it closed, so that nobody has to look at a million sites for their
// number.
type shutter struct {
	total *atomic.Int64 // Manager.closed; nil: nobody counts
	by    atomic.Uint32 // what keeps it closed, a bit each
}

// What keeps a site closed.
const (
	byFailure = 1 << iota // it could not be reached, or turned everything away
	byOrder               // an admin or a rule lets nothing be sent, as it was when the site was looked after last
)

// set notes whether the site is closed by one thing.
func (s *shutter) set(bit uint32, closed bool) {
	for {
		old := s.by.Load()
		next := old &^ bit
		if closed {
			next |= bit
		}
		if !s.by.CompareAndSwap(old, next) {
			continue
		}
		if s.total != nil && (old == 0) != (next == 0) {
			if next == 0 {
				s.total.Add(-1)
			} else {
				s.total.Add(1)
			}
		}
		return
	}
}
