package filter

import "sync/atomic"

// Status are what a door has done since it was made. Each message that came to an answer is counted once: as passed, as
// left, as observed or as taken.
type Status struct {
	Buffered       int64  // bytes of messages under way now
	PassedConnect  uint64 // connections that no rule can match
	PassedMail     uint64 // messages that the filter passed at MAIL
	PassedHeader   uint64 // messages that the filter passed when it saw the header
	Left           uint64 // messages that the filter would have taken, or had not seen yet, but that had to stay with the MTA
	LeftBy         LeftBy // the parts of Left
	Refused        uint64 // the part of Left that the MTA was asked to refuse
	Full           uint64 // the part of Left that stayed because the queue map was full or closed
	Observed       uint64 // messages that would have been taken
	Taken          uint64
	BadConnections uint64 // closed for what the MTA sent, or did not send
	Panics         uint64
}

// Passed is the number of messages, and of connections nobody looked into, that the MTA kept.
func (c *Status) Passed() uint64 { return c.PassedConnect + c.PassedMail + c.PassedHeader + c.Left }

// Seen is the number of messages, and of connections nobody looked into, that the MTA offered.
func (c *Status) Seen() uint64 { return c.Passed() + c.Observed + c.Taken }

// counters are the numbers of Status while they grow.
type counters struct {
	passedConnect, passedMail, passedHeader, left, refused, full, observed, taken, badConnections, panics atomic.Uint64
	leftBy                                                                                                [numCauses]atomic.Uint64
}

// Status returns the counters.
func (in *Intake) Status() Status {
	c := &in.counts
	s := Status{
		Buffered:      in.buffered.Load(),
		PassedConnect: c.passedConnect.Load(), PassedMail: c.passedMail.Load(), PassedHeader: c.passedHeader.Load(),
		Left: c.left.Load(), Refused: c.refused.Load(), Full: c.full.Load(), Observed: c.observed.Load(), Taken: c.taken.Load(),
		BadConnections: c.badConnections.Load(), Panics: c.panics.Load(),
	}
	for i := range s.LeftBy {
		s.LeftBy[i] = c.leftBy[i].Load()
	}
	return s
}
