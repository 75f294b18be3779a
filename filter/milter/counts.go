package milter

import "sync/atomic"

// Counts are what the door has done since it was made.
type Counts struct {
	Sessions       int    // connections now
	Buffered       int64  // bytes of messages not yet taken
	PassedConnect  uint64 // connections that no rule can match
	PassedMail     uint64 // messages decided at MAIL
	PassedHeader   uint64 // messages decided by their header
	Left           uint64 // bulk, or not known to be not, but it had to stay with the MTA
	Full           uint64 // of these, because the queue map was full
	Observed       uint64 // would have been taken
	Taken          uint64
	BadConnections uint64 // closed for what the MTA sent, or did not send
	Panics         uint64
}

type counters struct {
	passedConnect, passedMail, passedHeader, left, full, observed, taken, badConnections, panics atomic.Uint64
}

// Counts returns the counters.
func (d *Door) Counts() Counts {
	d.mu.Lock()
	sessions := len(d.conns)
	d.mu.Unlock()
	c := &d.counts
	return Counts{
		Sessions: sessions, Buffered: d.budget.used.Load(),
		PassedConnect: c.passedConnect.Load(), PassedMail: c.passedMail.Load(), PassedHeader: c.passedHeader.Load(),
		Left: c.left.Load(), Full: c.full.Load(), Observed: c.observed.Load(), Taken: c.taken.Load(),
		BadConnections: c.badConnections.Load(), Panics: c.panics.Load(),
	}
}
