package pool

import (
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// bounds is how much a site takes at a time: recipients of a transaction, learned from refusals that name no number, and messages of a
// connection, which a [[reply]] rule sets. Such a refusal says nothing about how fast the site may be fed. What was learned is
// forgotten after a day, because limits are raised too.
type bounds struct {
	Rcpts      int   `json:"rcpts,omitempty"`       // recipients of a transaction; 0: nothing learned
	RcptsUntil int64 `json:"rcpts_until,omitempty"` // Unix seconds
	Uses       int   `json:"uses,omitempty"`        // messages of a connection; 0: no rule
	UsesUntil  int64 `json:"uses_until,omitempty"`  // Unix seconds
	carried    int   // the most messages that a connection has carried
	lastUse    int   // the message, not beyond carried, at which a connection ended the last time
	sameUse    int   // how often in a row that was the same
}

// boundsFor is how long a learned bound is kept.
const boundsFor = 24 * time.Hour

// learn notes what transaction t showed. It reports true when the refusal was about a bound: then it says nothing about the pace.
func (b *bounds) learn(t *smtp.Transaction, now time.Time) bool {
	if t.Reply.Code != 0 {
		b.carried = max(b.carried, t.ConnUse)
	}
	if t.Full > 0 && overfull(t) {
		b.Rcpts, b.RcptsUntil = t.Full, now.Add(boundsFor).Unix()
		return true
	}
	return false
}

// sameUses is how often in a row connections must end at the same message before that counts as their limit of messages. A receiver
// that is overrun ends connections at any message, and now and then twice at the same by chance.
const sameUses = 4

// overrun notes that the receiver ended a connection in place of its given message. It reports true when that shows no limit of
// messages per connection, because others have carried more. A limit costs nothing: the next connection takes the message.
func (b *bounds) overrun(use int) bool {
	if use > b.carried {
		return false
	}
	if use != b.lastUse {
		b.lastUse, b.sameUse = use, 0
	}
	if b.sameUse++; b.sameUse < sameUses {
		return true
	}
	b.carried = use - 1 // it is a limit, which has fallen
	return false
}

// overfull reports whether t failed for the number of its recipients, and not because of the one whom the receiver refused: it took
// the message for nobody, or wants the others in another transaction.
func overfull(t *smtp.Transaction) bool {
	sent := false
	for _, r := range t.Results {
		if r.Again && r.Reply.Code != 0 {
			return true
		}
		sent = sent || r.Sent()
	}
	return !sent
}

// inForce is what still holds.
func (b *bounds) inForce(now time.Time) (left bounds) {
	if b.Rcpts > 0 && now.Unix() < b.RcptsUntil {
		left.Rcpts, left.RcptsUntil = b.Rcpts, b.RcptsUntil
	}
	if b.Uses > 0 && now.Unix() < b.UsesUntil {
		left.Uses, left.UsesUntil = b.Uses, b.UsesUntil
	}
	return left
}

// perTransaction is how many recipients a transaction may have.
func (b *bounds) perTransaction(most int, now time.Time) int {
	if n := b.inForce(now).Rcpts; n > 0 {
		return min(n, most)
	}
	return most
}

// perConnection is how many messages a connection may carry.
func (b *bounds) perConnection(most int, now time.Time) int {
	if n := b.inForce(now).Uses; n > 0 {
		return min(n, most)
	}
	return most
}
