package filter

import "sync/atomic"

// budget bounds the bytes of messages that are not taken yet, over all sessions of a door.
type budget struct {
	used atomic.Int64
	max  int64
}

// charge asks for n bytes more and reports whether they fit. Two sessions that ask at the same moment may both be
// refused although one would have fitted.
func (b *budget) charge(n int) bool {
	if b.used.Add(int64(n)) <= b.max {
		return true
	}
	b.refund(int64(n))
	return false
}

func (b *budget) refund(n int64) { b.used.Add(-n) }

// ChargeSession asks for n bytes that a session of the door holds beside its messages, and reports whether there is room.
func (in *Intake) ChargeSession(n int) bool { return in.budget.charge(n) }

// RefundSession gives back what ChargeSession has granted.
func (in *Intake) RefundSession(n int) { in.budget.refund(int64(n)) }
