package pool

import (
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// bounds is how much a site takes at a time, learned from refusals that name no number: recipients of a transaction, messages of a
// connection. Such a refusal says nothing about how fast the site may be fed. What was learned is forgotten after a day, because
// limits are raised too.
type bounds struct {
	rcpts      int // recipients of a transaction; 0: nothing learned
	rcptsUntil time.Time
	uses       int // messages of a connection; 0: nothing learned
	usesUntil  time.Time
	lastUse    int // the message of its connection that was turned away the last time
}

// boundsFor is how long a learned bound is kept.
const boundsFor = 24 * time.Hour

// learn notes what transaction t showed. It reports true when the refusal was about a bound: then it says nothing about the pace.
func (b *bounds) learn(t *smtp.Transaction, slowed *smtp.Error, now time.Time) bool {
	if t.Full > 0 && tooMany(t) {
		b.rcpts, b.rcptsUntil = t.Full, now.Add(boundsFor)
		return true
	}
	return slowed != nil && slowed.Closing() && slowed.Command == smtp.AtMAIL && b.learnUse(t.ConnUse, now)
}

// learnUse notes that the given message of a connection was turned away. The first time it may be chance: a receiver that is
// overrun ends connections at any message. One that ends them at the same message twice counts messages.
func (b *bounds) learnUse(use int, now time.Time) bool {
	known := use > 1 && use == b.lastUse
	b.lastUse = use
	if known {
		b.uses, b.usesUntil = use-1, now.Add(boundsFor)
	}
	return known
}

// tooMany reports whether t failed for the number of its recipients, and not because of the one whom the receiver refused: it took
// the message for nobody, or wants the others in another transaction.
func tooMany(t *smtp.Transaction) bool {
	sent := false
	for _, r := range t.Results {
		if r.Again && r.Reply.Code != 0 {
			return true
		}
		sent = sent || r.Sent()
	}
	return !sent
}

// perTransaction is how many recipients a transaction may have.
func (b *bounds) perTransaction(most int, now time.Time) int {
	if b.rcpts > 0 && now.Before(b.rcptsUntil) {
		return min(b.rcpts, most)
	}
	return most
}

// perConnection is how many messages a connection may carry.
func (b *bounds) perConnection(most int, now time.Time) int {
	if b.uses > 0 && now.Before(b.usesUntil) {
		return min(b.uses, most)
	}
	return most
}
