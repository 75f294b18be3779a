package relay

import "github.com/millrace/millrace/relay/smtp"

// Outcome is what a visit did for one recipient.
type Outcome uint8

const (
	// Again: nothing was decided and nothing is charged; the recipient is visited again at once (RFC 5321 section
	// 4.5.3.1.10 "too many recipients", a peer that closed an idle connection).
	Again Outcome = iota
	// Sent: the receiver answered for it.
	Sent
	// Deferred: a failure that may pass; the retry schedule decides when to visit again.
	Deferred
	// Bounced: a failure that will not pass.
	Bounced
	// Expired: it waited longer than its lifetime.
	Expired
	// HandedBack: the MTA has it again, in its disk queue.
	HandedBack
	// Deleted: an admin wants it forgotten, and nobody told.
	Deleted
)

var outcomeNames = [...]string{"again", "sent", "deferred", "bounced", "expired", "handedback", "deleted"}

// String gives the word the mail log uses after "status=".
func (o Outcome) String() string { return outcomeNames[o] }

// Final reports whether the recipient is settled.
func (o Outcome) Final() bool { return o == Sent || o >= Bounced }

// Fate is the outcome of a visit for one recipient.
type Fate struct {
	Rcpt    int // index of a recipient of Message
	Outcome Outcome
	Reply   smtp.Reply // what the receiver said, or what we say in its place
	Untried bool       // with Again: the receiver was not even asked about it
	Twice   bool       // with Deferred: the body was sent and its reply lost, so the receiver may get it twice (RFC 1047)
	Unfit   bool       // with Deferred: not for us to deliver; our MTA gets it back, which can convert it or knows where it goes
	Relayed bool       // sent to a receiver that cannot pass DSN requests on (RFC 3461 section 5.2.2)
}
