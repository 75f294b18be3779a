package smtp

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// flight is one transaction on its way: how far its commands are written, how
// far they are answered, and the answers. The commands have numbers:
//
//	0      RSET, only after an aborted transaction
//	1      MAIL
//	2...   RCPT, one for each offered recipient
//	last   DATA, or BDAT with the body behind it
type flight struct {
	tx      *Transaction
	offered []int // indexes into tx.Rcpts of the recipients named to the peer
	form    Form
	size    int64 // bytes that SIZE announces
	early   bool  // it was written behind the body before it
	chunked bool  // it goes by BDAT, in a batch
	use     int   // number of the transaction on its connection: 1 for the first

	written  int       // number of the next command to write
	heard    int       // number of the next command to be answered
	until    time.Time // the body must be out by then
	mailed   bool      // MAIL was accepted
	accepted int       // recipients
	proceed  bool      // 354: the peer waits for a body
	dotted   bool      // the end of the body has left us
	sent     bool      // the peer has taken the message
	unknown  bool      // the peer may have taken the message
	separate bool      // the peer wants each domain in a transaction of its own
	failed   *Error    // the failure of every recipient without a result of its own
	closing  *Error    // a 421 to a RCPT: the connection ends with this transaction, if it lasts so long

	// A reply whose lines do not belong together may be two replies, or none. Until the last reply that is owed has come
	// in its place, every reply from there on may be another command's.
	shaky   bool
	suspect int // number of the RCPT with the first reply of that kind; 0 if that was the reply to another command

	// In a batch only.
	commands int       // bytes of its commands
	end      int64     // where it ends among the bytes of the batch
	hurried  bool      // the peer has not got all of it, and is not waited for
	ended    time.Time // when the reply to its body came
}

const (
	numReset = 0
	numMail  = 1
	numRcpt  = 2
)

// start makes f ready for tx, keeping its memory.
func (f *flight) start(tx *Transaction) {
	tx.clear()
	*f = flight{tx: tx, offered: f.offered[:0], written: numMail, heard: numMail}
}

// local reports whether nothing of f needs to go to the peer.
func (f *flight) local() bool { return len(f.offered) == 0 }

func (f *flight) last() int { return numRcpt + len(f.offered) }

// owed reports whether a reply is due.
func (f *flight) owed() bool { return f.heard < f.written }

// pointless reports whether no more commands should be written, although some
// are left: there is nobody to deliver to.
func (f *flight) pointless() bool {
	return f.failed != nil || f.written == f.last() && f.accepted == 0
}

// commandName names the command with number n.
func (f *flight) commandName(n int) string {
	switch {
	case n == numReset:
		return AtRSET
	case n == numMail:
		return AtMAIL
	case n < f.last():
		return AtRCPT
	case f.chunked:
		return AtDot
	}
	return AtDATA
}

// hear takes the reply to the next command that is owed one. It returns an
// error when the dialogue cannot go on.
func (f *flight) hear(r raw) *Error {
	n := f.heard
	f.heard++
	if r.odd {
		f.accuse(n)
	}
	broken := f.understand(n, r)
	if broken == nil && !f.owed() && !f.chunked { // a batch is certain only when the replies to all of it are in
		f.shaky, f.suspect = false, 0
	}
	return broken
}

// accuse remembers the first command with which the dialogue went wrong, if it is a RCPT.
func (f *flight) accuse(n int) {
	if !f.shaky && f.commandName(n) == AtRCPT {
		f.suspect = n
	}
	f.shaky = true
}

// understand takes r as the reply to the command with number n.
func (f *flight) understand(n int, r raw) *Error {
	if r.code == 421 && f.commandName(n) != AtRCPT {
		return refusal(f.commandName(n), r)
	}
	switch f.commandName(n) {
	case AtRSET:
		return hearReset(r)
	case AtMAIL:
		return f.hearMail(r)
	case AtRCPT:
		return f.hearRcpt(n, r)
	case AtDot:
		return f.hearDot(r)
	}
	return f.hearData(r)
}

func hearReset(r raw) *Error {
	if r.class() != 2 {
		return outOfStep(AtRSET, r)
	}
	return nil
}

// hearMail takes the reply to MAIL. On a connection that has carried mail, 500,
// 502 and 503 mean that the peer and we disagree about where we are, perhaps
// because it took the body before for commands; this message is not to blame.
func (f *flight) hearMail(r raw) *Error {
	switch {
	case r.class() == 2:
		f.mailed = true
	case r.class() == 3, f.use > 1 && (r.code == 500 || r.code == 502 || r.code == 503):
		return outOfStep(AtMAIL, r)
	default:
		f.failed = refusal(AtMAIL, r)
	}
	return nil
}

// hearRcpt takes the reply to the RCPT with number n. Every 2xx is a yes, also 251
// and 252. A 3xx is the reply to DATA in the wrong place, unless DATA has not been
// written; then it is this recipient's alone, as is a code of no known class. So is a
// 421 as long as the peer goes on: some peers say it to one recipient that gets too much.
func (f *flight) hearRcpt(n int, r raw) *Error {
	if r.class() == 3 && f.owed() {
		f.accuse(n)
		return outOfStep(AtRCPT, r)
	}
	if f.failed != nil {
		return nil // MAIL was refused, so the replies to its RCPTs have no meaning
	}
	if r.class() == 2 {
		f.accepted++
		return nil
	}
	e := refusal(AtRCPT, r)
	if r.code == 421 {
		f.closing = e
	}
	if f.tx.Full == 0 && (r.code == 421 || tooManyRcpts(e)) {
		f.tx.Full = f.accepted
	}
	if r.class() != 4 && r.class() != 5 {
		e = outOfStep(AtRCPT, r)
	}
	res := &f.tx.Results[f.offered[n-numRcpt]]
	if f.accepted > 0 && (f.tooManyDomains(e) || tooManyRcpts(e)) {
		res.Again, res.Reply = true, e.Reply()
		return nil
	}
	res.Err, res.Reply = e, e.Reply()
	return nil
}

// tooManyRcpts reports whether e, after an accepted recipient, means only that
// the transaction is full (RFC 5321, 4.5.3.1.10; 552 is its older form). The same
// codes with an enhanced status about the mailbox are about the recipient.
func tooManyRcpts(e *Error) bool {
	if strings.HasSuffix(e.Enhanced, ".5.3") {
		return true
	}
	if e.Code != 452 && e.Code != 552 {
		return false
	}
	return e.Enhanced == "" || strings.HasPrefix(e.Enhanced[1:], ".3.") || strings.HasPrefix(e.Enhanced[1:], ".5.")
}

func (f *flight) hearData(r raw) *Error {
	switch r.class() {
	case 3:
		f.proceed = true
	case 2:
		return outOfStep(AtDATA, r)
	default:
		f.refuse(refusal(AtDATA, r))
	}
	return nil
}

// refuse takes e as the peer's refusal of the whole transaction. If it is only about the number of domains, nothing has
// failed: conclude makes every recipient Again.
func (f *flight) refuse(e *Error) {
	if f.failed == nil && !f.tooManyDomains(e) {
		f.failed = e
	}
}

// hearDot takes the reply to the end of data. After a lone dot any reply will do:
// nobody was going to get that message. Behind BDAT the body has left all the same, and must have been refused; there, a code that
// says that the command is unknown or out of place means that the body was read as commands.
func (f *flight) hearDot(r raw) *Error {
	switch {
	case r.code == 421:
		return refusal(AtDot, r)
	case r.class() != 2 && r.class() != 4 && r.class() != 5:
		f.unknown = f.accepted > 0
		return outOfStep(AtDot, r)
	case f.chunked && f.wasted() && r.class() == 2, f.chunked && !f.wasted() && r.code >= 500 && r.code <= 504:
		return outOfStep(AtDot, r)
	case f.wasted():
		return nil
	case r.class() == 2:
		f.sent, f.tx.Reply = true, r.reply()
	default:
		f.refuse(refusal(AtDot, r))
	}
	return nil
}

// wasted reports whether the body goes to nobody: the sender was refused, or every recipient.
func (f *flight) wasted() bool { return f.failed != nil || f.accepted == 0 }

// errHeld is wrapped by the error of a message that we ourselves kept back.
var errHeld = errors.New("message kept back")

// clear asks the caller whether the body may go out. A lone dot needs no leave: nobody gets anything by it.
func (f *flight) clear() *Error {
	if f.tx.Cleared == nil || f.accepted == 0 && !f.chunked {
		return nil
	}
	if err := f.tx.Cleared(); err != nil {
		return held(err)
	}
	return nil
}

// held is the error of a message that was kept back, for which nobody is to blame.
func held(why error) *Error {
	return &Error{Local: true, Command: AtBody, Enhanced: "4.3.0", Err: fmt.Errorf("%w: %w", errHeld, why)}
}

// breakOff gives f its outcome when the dialogue ends with e. A message to which
// the peer had said nothing yet, on a connection that had carried others, is not
// charged: the peer may have closed an idle connection, or counted messages.
//
// When the dialogue is out of step, a refusal heard in it may have been meant for
// another recipient; all of them are forgotten, and so is the reply to MAIL if the
// trouble began there.
func (f *flight) breakOff(e *Error) {
	if f.sent || errors.Is(e, errHeld) {
		return // conclude makes every recipient without a result Again
	}
	f.doubt()
	if errors.Is(e, errProtocol) || f.shaky {
		f.forget()
		if f.blame(e) {
			return
		}
	}
	if f.failed != nil || f.closing != nil && e == f.closing && f.tx.Full > 0 && tooManyRcpts(e) {
		return // a transaction with fewer recipients is another matter
	}
	if f.use != 1 && !f.unknown && (!f.mailed || f.shaky && f.suspect == 0) {
		if e.Closing() && (e.Command == AtMAIL || e.Command == AtRSET) {
			f.tx.Ended = e
		}
		return // conclude makes every recipient Again
	}
	f.failed = e
}

// explain is why the dialogue ended with e: the 421 before it says more than the lost connection that follows. When the
// end of data has left us, the loss alone says that nobody knows what became of the message.
func (f *flight) explain(e *Error) *Error {
	if f.closing == nil || f.dotted || e.Code != 0 || errors.Is(e, errProtocol) || errors.Is(e, errHeld) {
		return e
	}
	return f.closing
}

// doubt marks the recipients to whom the message may be delivered a second time: those that were not refused, when the
// body may be with the peer.
func (f *flight) doubt() {
	for _, i := range f.offered {
		res := &f.tx.Results[i]
		res.Unknown = f.unknown && res.Err == nil && !res.Again
	}
}

// forget drops what the replies said about the recipients: they may have been others' replies.
func (f *flight) forget() {
	f.failed = nil
	for _, i := range f.offered {
		f.tx.Results[i] = Result{Unknown: f.tx.Results[i].Unknown}
	}
}

// blame charges the recipient with which the dialogue went wrong before DATA was answered; the others are bystanders. It reports false when there are no others, or when no single recipient is to blame.
func (f *flight) blame(e *Error) bool {
	if f.suspect == 0 || len(f.offered) == 1 {
		return false
	}
	for n, i := range f.offered {
		f.tx.Results[i] = Result{Err: e, Reply: e.Reply(), Bystander: n != f.suspect-numRcpt}
	}
	return true
}

// conclude gives every offered recipient its result.
func (f *flight) conclude(now time.Time) {
	f.tx.Done = now
	if !f.ended.IsZero() {
		f.tx.Done = f.ended
	}
	f.tx.ConnUse = f.use
	for _, i := range f.offered {
		res := &f.tx.Results[i]
		switch {
		case res.Err != nil || res.Again:
		case f.sent:
			res.Reply = f.tx.Reply
		case f.failed != nil:
			res.Err, res.Reply = f.failed, f.failed.Reply()
		default:
			res.Again = true
		}
	}
}
