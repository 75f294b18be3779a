package smtp

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// groupBytes is how much of a command group may be written before its replies
	// are read. It is less than any socket buffer: otherwise both sides could wait
	// for the other to read.
	groupBytes = 8192
	// lastWords is how long to wait for the last reply of a peer that has stopped
	// reading.
	lastWords = 5 * time.Second
	// aheadPatience is how long to wait for the reply to a MAIL that was written behind a body. Some peers throw away
	// what came with the end of the body, and then both sides wait. No message is charged when this wait ends, and the
	// next connection, without look-ahead, waits as long as RFC 5321 wants.
	aheadPatience = 1 * time.Minute
	// aheadSilence is the silence after which a connection that ends at such a MAIL ended because of it: the peer saw no
	// command and grew tired of waiting.
	aheadSilence = 20 * time.Second
	// closingPatience is how long to wait for each reply of a peer that has said 421 to a RCPT before. It should have
	// closed the connection.
	closingPatience = 10 * time.Second
)

// delivery is one call of Deliver.
type delivery struct {
	c     *Conn
	next  func() *Transaction
	done  func(*Transaction)
	ahead *flight // taken and, unless local, written behind the message before it
	over  bool    // next has returned nil
}

// Deliver sends the transactions that next hands out until next returns nil,
// and hands each to done, once and in order. With PIPELINING it asks for the
// next transaction while the one before is still with the peer; next must not
// block. Both are called by the calling goroutine.
//
// The error is nil if the connection can be used again. It is [ErrLimit] when
// the connection has carried as many messages as it may. Any other is an [*Error]:
// the connection has been closed, and every transaction taken was handed to done.
func (c *Conn) Deliver(next func() *Transaction, done func(*Transaction)) error {
	if c.closed.Load() {
		return &Error{Enhanced: "4.4.2", Err: ErrClosed}
	}
	d := delivery{c: c, next: next, done: done}
	for {
		if b := d.fill(); len(b.all) > 0 {
			if broken := d.carry(b); broken != nil {
				return broken
			}
			continue
		}
		f, err := d.upcoming()
		if f == nil && err == nil {
			return c.rest()
		}
		if f == nil {
			return err
		}
		broken := d.perform(f)
		if broken != nil {
			broken = c.givenUp(f.explain(broken))
			f.breakOff(broken)
			c.Close()
		}
		d.returnTransaction(f)
		if broken != nil {
			d.abandon()
			return broken
		}
	}
}

// rest makes sure that nothing is left to read when the connection goes idle.
func (c *Conn) rest() error {
	if !c.rd.pending() {
		return nil
	}
	err := c.unsolicited("")
	c.Close()
	return err
}

// upcoming returns the flight that is ahead, or makes one of the next transaction.
// It returns nil when there is none, with ErrLimit if there might be.
func (d *delivery) upcoming() (*flight, error) {
	if f := d.ahead; f != nil {
		d.ahead = nil
		return f, nil
	}
	if d.over {
		return nil, nil
	}
	if d.c.spent() {
		return nil, ErrLimit
	}
	return d.prepare(), nil
}

// prepare makes a flight of the next transaction; nil when there is none.
func (d *delivery) prepare() *flight {
	d.c.turn ^= 1
	if f := &d.c.flights[d.c.turn]; d.prepareIn(f) {
		return f
	}
	return nil
}

// prepareIn asks for a transaction, whose flight f becomes, and decides which recipients go to the peer. It reports false when there
// is none.
func (d *delivery) prepareIn(f *flight) bool {
	tx := d.next()
	if tx == nil {
		d.over = true
		return false
	}
	f.start(tx)
	if e := d.c.refuse(f); e != nil {
		for i := range tx.Results {
			tx.Results[i].Err = e
		}
		return true
	}
	d.c.offer(f)
	return true
}

// perform takes one flight to its end. An error means that the dialogue broke.
// The flight keeps the replies that came before: they may hold its outcome.
func (d *delivery) perform(f *flight) *Error {
	if f.local() {
		return nil
	}
	c := d.c
	c.turnTo(f)
	if err := c.envelope(f); err != nil {
		return err
	}
	if !f.proceed {
		c.aborted = f.mailed
		return cmp.Or(f.closing, c.quiet())
	}
	return cmp.Or(d.writeMessage(f), f.closing)
}

// turnTo makes f the transaction that the peer is at work with. confirm may have done so already.
func (c *Conn) turnTo(f *flight) {
	if f.use > 0 {
		return
	}
	c.uses++
	f.use = c.uses
	f.tx.Started = time.Now()
	f.until = f.tx.Started.Add(c.timeouts.transaction(f.form.wire()))
}

// returnTransaction gives the caller its transaction with the results.
func (d *delivery) returnTransaction(f *flight) {
	d.c.oneDomain = d.c.oneDomain || f.separate
	f.conclude(time.Now())
	tx := f.tx
	f.tx = nil // an idle connection keeps no message alive
	d.done(tx)
}

// abandon hands back the flight that was written behind one that broke the dialogue.
func (d *delivery) abandon() {
	if d.ahead != nil {
		d.returnTransaction(d.ahead)
		d.ahead = nil
	}
}

// envelope writes f's commands in groups, as far as they are not written yet,
// and hears the replies.
func (c *Conn) envelope(f *flight) *Error {
	for f.heard <= f.last() {
		if !f.owed() {
			if f.pointless() {
				return nil
			}
			c.out = c.group(f, c.out[:0])
			if err := c.write(f.commandName(f.heard), c.out); err != nil {
				return err
			}
		}
		if err := c.hear(f); err != nil {
			return err
		}
	}
	return nil
}

// group appends to out as many of f's commands as may be written before the
// replies are read: one without PIPELINING.
func (c *Conn) group(f *flight, out []byte) []byte {
	if c.aborted && f.written == numMail {
		f.written, f.heard = numReset, numReset
		c.aborted = false
	}
	for f.written <= f.last() {
		out = c.command(f, out)
		f.written++
		if !c.pipelining() || len(out) > groupBytes-maxCommand {
			break
		}
	}
	return out
}

func (c *Conn) command(f *flight, out []byte) []byte {
	switch f.commandName(f.written) {
	case AtRSET:
		return append(out, "RSET\r\n"...)
	case AtMAIL:
		return appendMail(out, f.tx, &c.ext, f.size)
	case AtRCPT:
		return appendRcpt(out, &f.tx.Rcpts[f.offered[f.written-numRcpt]], c.ext.DSN, f.tx.UTF8)
	case AtDot:
		return appendBDAT(out, f.chunkSize())
	}
	return append(out, "DATA\r\n"...)
}

// hear reads the next reply f is owed.
func (c *Conn) hear(f *flight) *Error {
	at := f.commandName(f.heard)
	until := f.until
	if at == AtDot {
		until = time.Time{}
	}
	r, err := c.rd.readReply(c.patience(f), until)
	if err != nil || r.code == 421 {
		silence := c.rd.src.silence()
		c.silent = errors.Is(err, os.ErrDeadlineExceeded) || silence >= batchSilence && (err != nil || r.impatient())
		c.aheadLost = c.aheadLost || f.early && (at == AtMAIL || at == AtRSET) && silence >= min(aheadSilence, c.timeouts.Mail)
	}
	if err != nil {
		if errors.Is(err, errNoise) {
			f.accuse(f.heard)
		}
		return lost(at, err)
	}
	c.lockstep = c.lockstep || r.noisy
	broken := f.hear(r)
	if f.heard == f.last() {
		f.tx.Accepted = time.Now()
	}
	return broken
}

// patience is how long to wait for the next reply f is owed.
func (c *Conn) patience(f *flight) time.Duration {
	wait := c.usualPatience(f)
	if f.closing != nil {
		wait = min(wait, closingPatience)
	}
	if f.hurried {
		wait = min(wait, lastWords)
	}
	return wait
}

func (c *Conn) usualPatience(f *flight) time.Duration {
	switch at := f.commandName(f.heard); {
	case f.early && (at == AtMAIL || at == AtRSET):
		return min(c.timeouts.Mail, aheadPatience)
	case at == AtRSET:
		return c.timeouts.Reset
	case at == AtMAIL:
		return c.timeouts.Mail
	case at == AtRCPT:
		return c.timeouts.Rcpt
	case at == AtDot:
		return c.timeouts.Dot
	}
	return c.timeouts.Data
}

// quiet makes sure that nothing follows the replies to a transaction without a
// body. One reply too many, somewhere before, shifts all later replies by one; here
// it shows.
func (c *Conn) quiet() *Error {
	if !c.interrupts() {
		return nil
	}
	return c.unsolicited(AtDATA)
}

// writeMessage writes f's message, with the next envelope behind it, and hears the
// reply. When every recipient was refused and the peer wants a body all the same,
// it gets a lone dot (RFC 2920, 3.1): nobody receives anything by that.
func (d *delivery) writeMessage(f *flight) *Error {
	c := d.c
	if c.rd.pending() {
		return c.early(f)
	}
	c.out = append(c.out[:0], ".\r\n"...)
	if g := d.lookAhead(f); g != nil {
		c.out = c.group(g, c.out)
	}
	if err := f.clear(); err != nil {
		return err
	}
	// The caller's clearance may have taken a while. A reply that came meanwhile is no answer to this body.
	if c.interrupts() {
		return c.early(f)
	}
	cut := c.content(f)
	if cut != nil && !f.dotted {
		return c.cutOff(f, cut)
	}
	r, err := c.rd.readReply(c.timeouts.Dot, time.Time{})
	if err != nil {
		f.unknown = f.accepted > 0
		return lost(AtDot, err)
	}
	c.lockstep = c.lockstep || r.noisy
	broken := f.hearDot(r)
	if r.odd && d.ahead != nil && !d.ahead.local() {
		broken = d.confirm(f, broken)
	}
	if broken == nil && cut != nil {
		// The dot is out, the envelope behind it is not. The reply to this message
		// counts; then the connection ends.
		broken = lost(AtMAIL, cut)
	}
	if broken == nil && !c.answered() {
		return held(errGivenUp)
	}
	return broken
}

// confirm makes sure that an odd reply to f's body is the reply to the body. A line that is no reply may have stood for
// it, or a line that should have been its last may not have said so; then the reply to MAIL was taken for it. The
// replies to all commands behind the body show that: one is missing at the end. Where they do not come, nobody knows
// what became of f, and nothing that was heard of the message behind it counts.
func (d *delivery) confirm(f *flight, broken *Error) *Error {
	g := d.ahead
	d.c.turnTo(g)
	for broken == nil && g.owed() {
		broken = d.c.hear(g)
	}
	if broken == nil {
		return nil
	}
	d.c.aheadLost = true
	f.sent, f.failed, f.tx.Reply, f.unknown = false, nil, Reply{}, f.accepted > 0
	g.forget()
	return &Error{Command: AtDot, Enhanced: "4.5.0", Err: fmt.Errorf("%w: %w, and the replies behind it do not count: %w", errProtocol, errOdd, broken)}
}

// lookAhead takes the transaction whose envelope goes out behind f's body; nil when
// there is none, or the next ones are likely to go in a batch.
func (d *delivery) lookAhead(f *flight) *flight {
	if !d.c.pipelining() || d.c.noAhead || d.over || d.c.spent() || f.closing != nil || d.c.room() > 0 && f.fits() {
		return nil
	}
	d.ahead = d.prepare()
	if d.ahead == nil || d.ahead.local() {
		return nil
	}
	d.ahead.early = true
	return d.ahead
}

// content writes f's body, if a recipient was accepted, and c.out behind it.
func (c *Conn) content(f *flight) error {
	g := gather{c: c, bufs: c.bufs[:0], until: f.until, end: f.form.wire()}
	var err error
	if f.accepted > 0 {
		err = stuff(f.tx.Content, f.form, g.collect)
	} else {
		g.end = int64(len(".\r\n"))
	}
	if err == nil {
		err = g.collect(c.out)
	}
	if err == nil {
		err = g.writeBlock()
	}
	f.dotted = g.sent >= g.end
	g.returnSlices()
	return err
}

// cutOff ends a flight whose body could not be written. The peer may have said
// why. If a 5xx were not read here, every retry would send the body again to
// learn it.
func (c *Conn) cutOff(f *flight, cause error) *Error {
	r, err := c.rd.readReply(lastWords, time.Time{})
	switch {
	case err == nil:
		return f.hearEarly(r)
	case errors.Is(cause, errEarly):
		cause = err
	}
	return lost(AtBody, cause)
}

// early ends a flight to which the peer said more than was asked before its
// body was written.
func (c *Conn) early(f *flight) *Error {
	r, err := c.rd.readReply(lastWords, time.Time{})
	if err != nil {
		return lost(AtBody, err)
	}
	return f.hearEarly(r)
}

// hearEarly takes a reply to a body whose end the peer has not seen. A refusal is
// believed; anything else is not. The connection is lost in any case.
func (f *flight) hearEarly(r raw) *Error {
	if r.class() != 4 && r.class() != 5 {
		f.unknown = f.accepted > 0 && r.class() == 2
		return outOfStep(AtBody, r)
	}
	e := refusal(AtDot, r)
	if f.failed == nil && r.code != 421 {
		f.failed = e
	}
	return e
}

// write sends one command group. Input that is unread at this point answers none
// of our commands: no reply is owed.
func (c *Conn) write(at string, b []byte) *Error {
	if c.rd.pending() {
		return c.unsolicited(at)
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.timeouts.Mail)); err != nil {
		return lost(at, err)
	}
	if _, err := c.nc.Write(b); err != nil {
		return c.refusedWrite(at, err)
	}
	return nil
}

// refusedWrite looks for the 421 of a peer that has closed the connection.
func (c *Conn) refusedWrite(at string, cause error) *Error {
	r, err := c.rd.readReply(lastWords, time.Time{})
	if err != nil || r.code != 421 {
		return lost(at, cause)
	}
	return refusal(at, r)
}

// unsolicited reads a reply that no command asked for.
func (c *Conn) unsolicited(at string) *Error {
	r, err := c.rd.readReply(lastWords, time.Time{})
	switch {
	case err != nil:
		return lost(at, err)
	case r.code != 421:
		return lost(at, errUnsolicited)
	}
	return refusal(at, r)
}
