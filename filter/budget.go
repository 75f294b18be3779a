package filter

import "github.com/millrace/millrace/relay"

// A door has two bounds: its own, Limits.Buffered, on all that its clients can make it keep, and the relay.Budget, which all
// parts share. Only a body asks the second one, because only then it is known that the message is bulk: while memory is full,
// all other mail must pass as ever.

// keep asks for n bytes more of the door's own bound. Two sessions that ask at the same moment may both be refused although
// one would have fitted.
func (in *Intake) keep(n int64) bool {
	if in.buffered.Add(n) > in.limits.Buffered {
		in.buffered.Add(-n)
		return false
	}
	in.deps.Budget.Charge(relay.AccountDoors, n)
	return true
}

// free gives back what keep has granted.
func (in *Intake) free(n int64) {
	in.buffered.Add(-n)
	in.deps.Budget.Refund(relay.AccountDoors, n)
}

// sessionCost is the bytes that a connection of the MTA takes by being open: stacks, buffers, the header's buffer.
const sessionCost = 56 << 10

// OpenSession charges a connection of the door that has been opened. The door bounds their number, and a connection for the
// MTA's other mail is never refused for memory.
func (in *Intake) OpenSession() {
	in.sessions.Add(1)
	in.deps.Budget.Charge(relay.AccountDoors, sessionCost)
}

// CloseSession is called once for each OpenSession.
func (in *Intake) CloseSession() {
	in.sessions.Add(-1)
	in.deps.Budget.Refund(relay.AccountDoors, sessionCost)
}

// ChargeSession asks for n bytes that a session of the door holds beside its messages, and reports whether there is room.
func (in *Intake) ChargeSession(n int) bool { return in.keep(int64(n)) }

// RefundSession gives back what ChargeSession has granted.
func (in *Intake) RefundSession(n int) { in.free(int64(n)) }
