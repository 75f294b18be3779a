package smtpd

import "sync/atomic"

// counters are what the door counts beside its intake.
type counters struct {
	passed  atomic.Uint64 // messages that the MTA took, or a part of their recipients
	refused atomic.Uint64 // messages answered with a temporary failure for want of room
	failed  atomic.Uint64 // messages that the MTA did not take
	logins  atomic.Uint64 // refused
}

// Status is what a Door did since it was made, beside what its Intake counts.
type Status struct {
	Passed  uint64 // messages that went on to the MTA, whole or in part
	Refused uint64 // messages answered with 451 for want of room
	Failed  uint64 // messages that the MTA did not take: its own refusals, and an MTA that does not answer
	Logins  uint64 // logins that were refused
}

// Status returns the counters.
func (d *Door) Status() Status {
	c := &d.counts
	return Status{Passed: c.passed.Load(), Refused: c.refused.Load(), Failed: c.failed.Load(), Logins: c.logins.Load()}
}
