package smtp

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

const (
	// batchMessages and batchRcpts, of one message, bound the replies that are owed to a batch. The kernel's buffers hold so
	// many, so that a peer that writes replies reads on, and all of a batch may be written before anything is read. So many messages
	// may be delivered twice when a connection is lost, and more would save little: four share a round trip.
	batchMessages = 4
	batchRcpts    = 10
	// batchBytes is likewise for large messages. No message is added behind so many bytes.
	batchBytes = 256 << 10
	// maxChunk is the largest message that goes by BDAT. A larger one gains nothing by it, and there are receivers that hang on
	// large chunks.
	maxChunk = 64 << 10
	// batchTime is what a batch may take, because no reply to it counts before the last is in.
	batchTime = 500 * time.Millisecond
	// batchSilence is a silence after which a connection ends that a peer at work would not have kept.
	batchSilence = 5 * time.Second
)

// errShifted is why the replies to a batch do not count.
var errShifted = fmt.Errorf("%w: the number of replies is not that of the commands", errProtocol)

// batch is several transactions that leave whole before the first reply is in, each body by BDAT with LAST. RSET stands before
// every MAIL but the first: the state behind a BDAT that was refused is not determined (RFC 3030, 2), and a peer that had kept the
// transaction open would add the recipients of the next message to it.
type batch struct {
	all  []flight  // in the order in which the caller handed them out
	sent []*flight // of them, those of which something goes to the peer
}

// Chunk lets Deliver send messages by BDAT (RFC 3030), up to n of them before the first reply is in, to a peer that offers CHUNKING
// and PIPELINING. 0 stands for DATA. It may be called by next.
func (c *Conn) Chunk(n int) { c.chunk = n }

// ChunksLost reports that the dialogue broke over a batch of messages sent by BDAT, though the peer did not say that it closes, or that
// replies to a batch may be missing. The caller should remember it for the host, and not call Chunk there.
func (c *Conn) ChunksLost() bool { return c.chunksLost }

// room is how many messages the next batch may have; 0: messages go by DATA. Under TLS they do: nobody can see there whether the peer has
// said one reply too many, and over BDAT no 354 tells afterwards. Such a reply would take a message that was refused for sent.
func (c *Conn) room() int {
	if !c.ext.Chunking || !c.pipelining() || c.noAhead || c.tls != nil {
		return 0
	}
	return min(c.chunk, c.batchRoom)
}

// adapt lets the next batch be larger, up to what Chunk allows, while the peer takes all of them and soon. A body that was refused was
// sent for nothing, and a slow peer gains nothing by having more at a time.
func (c *Conn) adapt(b batch) {
	for _, f := range b.sent {
		if !f.sent {
			c.batchRoom = 1
			return
		}
	}
	switch {
	case !c.left.IsZero() && time.Since(c.left) > batchTime:
		c.batchRoom = max(1, c.batchRoom/2)
	case len(b.sent) >= c.batchRoom:
		c.batchRoom = min(2*c.batchRoom, batchMessages)
	}
}

// fill takes as many transactions as may go in one batch. A message that must go by DATA is left ahead. The batch is empty when there
// is none but that.
func (d *delivery) fill() (b batch) {
	c := d.c
	most := c.room()
	if d.ahead != nil || d.over || most <= 0 {
		return b
	}
	if c.fleet == nil {
		c.fleet = make([]flight, batchMessages)
	}
	b.sent = c.sent[:0]
	n := 0
	for size := int64(0); n < most && size < batchBytes && !c.spentBy(len(b.sent)); n++ {
		f := &c.fleet[n]
		if !d.prepareIn(f) {
			break
		}
		if f.local() {
			continue
		}
		if !f.fits() {
			d.ahead = f
			break
		}
		f.chunked = true
		b.sent, size = append(b.sent, f), size+f.chunkSize()
	}
	b.all, c.sent = c.fleet[:n], b.sent
	return b
}

// fits reports whether the message may go by BDAT.
func (f *flight) fits() bool {
	return f.form.Size > 0 && f.form.Size <= maxChunk && len(f.offered) <= batchRcpts
}

// chunkSize is the length of the message over BDAT. The last line gets its CRLF, as over DATA.
func (f *flight) chunkSize() int64 {
	if f.form.Traits.Has(Unfinished) {
		return f.form.Size + int64(len(lineEnd))
	}
	return f.form.Size
}

// carry takes a batch to its end and hands all of it back.
func (d *delivery) carry(b batch) *Error {
	broken := d.c.exchange(b)
	if broken != nil {
		d.c.Close()
	}
	d.c.adapt(b)
	for i := range b.all {
		d.returnTransaction(&b.all[i])
	}
	clear(b.sent)
	if broken != nil {
		d.abandon()
	}
	return broken
}

// exchange writes a batch and hears the replies. An error means that the connection ends; each flight has its outcome all the same.
func (c *Conn) exchange(b batch) *Error {
	c.left = time.Time{}
	if len(b.sent) == 0 {
		return nil
	}
	c.turnTo(b.sent[0])
	if err := c.mayLeave(b); err != nil {
		return c.lose(b, 0, err)
	}
	c.left = time.Now()
	cut := c.writeBatch(b) // the last ones have not left whole
	if errors.Is(cut, errGivenUp) {
		return c.lose(b, 0, held(cut))
	}
	for i, f := range b.sent {
		if err := c.hearAll(f, cut); err != nil {
			return c.lose(b, i, err)
		}
	}
	return c.conclude(b)
}

// mayLeave asks the caller's leave for all of the messages. It may take a while, and a reply that came meanwhile answers nothing.
func (c *Conn) mayLeave(b batch) *Error {
	for _, f := range b.sent {
		f.tx.Batch = len(b.sent)
		if err := f.clear(); err != nil {
			return err
		}
	}
	if c.interrupts() {
		return c.unsolicited(AtMAIL)
	}
	return nil
}

// writeBatch writes all of a batch, and notes which flights have left whole.
func (c *Conn) writeBatch(b batch) error {
	total := c.compose(b)
	g := gather{c: c, bufs: c.bufs[:0], until: time.Now().Add(c.timeouts.transaction(total)), end: b.sent[0].end, deaf: true}
	defer g.returnSlices()
	err := g.collectBatch(b, c.out)
	if err == nil {
		err = g.writeBlock()
	}
	for _, f := range b.sent {
		f.dotted = g.sent >= f.end
	}
	return err
}

// compose puts the commands of all flights into c.out, and notes where each flight ends on the wire. It returns how long all of it is.
func (c *Conn) compose(b batch) (total int64) {
	c.out = c.out[:0]
	for i, f := range b.sent {
		if f.early = i > 0; f.early || c.aborted {
			f.written, f.heard = numReset, numReset
		}
		c.aborted = false
		begin := len(c.out)
		for ; f.written <= f.last(); f.written++ {
			c.out = c.command(f, c.out)
		}
		f.commands = len(c.out) - begin
		total += int64(f.commands) + f.chunkSize()
		f.end = total
	}
	return total
}

// collectBatch collects commands and bodies in their order.
func (g *gather) collectBatch(b batch, commands []byte) error {
	for _, f := range b.sent {
		if err := g.collect(commands[:f.commands]); err != nil {
			return err
		}
		commands = commands[f.commands:]
		form := f.form
		form.Dots = 0 // they are not doubled
		if err := stuff(f.tx.Content, form, g.collect); err != nil {
			return err
		}
	}
	return nil
}

// hearAll hears the replies to all of f's commands, that to its body included. When f has not left whole, because of cut, the peer
// may have said why, but is not waited for.
func (c *Conn) hearAll(f *flight, cut error) *Error {
	c.turnTo(f)
	f.hurried = cut != nil
	for f.owed() {
		if err := c.hear(f); err != nil {
			if err.Code == 0 && !f.dotted {
				return lost(AtBody, cut)
			}
			return err
		}
	}
	f.ended = time.Now()
	if f.dotted {
		return nil
	}
	if f.sent { // the peer says that it has taken what it has not got
		f.sent, f.unknown = false, true
	}
	return lost(AtBody, cut)
}

// conclude ends a batch to which all replies are in. One reply too many, somewhere before, has shifted all those behind it: then
// nothing that was heard counts.
func (c *Conn) conclude(b batch) *Error {
	if c.interrupts() {
		err := c.unsolicited(AtDot)
		if errors.Is(err, errProtocol) {
			return c.lose(b, len(b.sent), err)
		}
		return err
	}
	var closing *Error
	for _, f := range b.sent {
		c.aborted = !f.sent
		closing = cmp.Or(f.closing, closing)
	}
	if !c.answered() {
		return held(errGivenUp)
	}
	return closing
}

// lose gives the flights of a batch their outcome when the dialogue ended with e at the i-th one.
func (c *Conn) lose(b batch, i int, e *Error) *Error {
	if e = c.givenUp(e); errors.Is(e, errHeld) {
		return e // every recipient is Again
	}
	from, broken := c.doubtful(b, i, e), errors.Is(e, errProtocol)
	closing := !broken && (e.Closing() || b.sent[i].closing != nil)
	c.chunksLost = (!closing || from < i) && !c.left.IsZero()
	for j, f := range b.sent {
		switch {
		case j < from, j > i && closing: // answered, or the peer has said before that it reads no more
		case !f.dotted && j > i:
		case !f.dotted, j == i && i == from && !f.shaky && !broken:
			f.lose(e)
		case j > i && !broken:
			f.doubtAll(e)
		default:
			f.retract(e)
		}
	}
	return e
}

// doubtful is the first flight of which nothing that was heard counts, or i. Those before may have had the replies of others when a
// reply cannot stand where it came, when the lines of one do not belong together, or when the peer was silent at the end: it waits for
// us if it has left replies out, and a peer that is lost while it is at work is lost soon.
func (c *Conn) doubtful(b batch, i int, e *Error) int {
	if errors.Is(e, errProtocol) || c.silent && b.missing(e) < max(2, len(b.sent)) {
		return 0
	}
	for j, f := range b.sent[:i] {
		if f.shaky {
			return j
		}
	}
	return i
}

// missing is how many replies have not come. A peer that leaves replies out does so for a command of a kind, of which a message has one:
// if more are missing than there are messages, the peer has fallen silent over its work, and what it has said stands where it belongs.
func (b batch) missing(e *Error) (n int) {
	for _, f := range b.sent {
		n += f.written - f.heard
	}
	if e.Code != 0 {
		n++ // it came in place of one
	}
	return n
}

// lose gives f, whose replies are not all in, its outcome.
func (f *flight) lose(e *Error) {
	if f.unknown || f.dotted && e.Code == 0 && !(f.heard == f.last() && f.wasted()) && f.failed == nil {
		f.doubtAll(e)
		return
	}
	f.breakOff(e)
}

// doubtAll notes that the peer may have f for every recipient that it has not refused.
func (f *flight) doubtAll(e *Error) {
	f.unknown, f.failed = true, &Error{Command: AtDot, Enhanced: e.Enhanced, Err: e.Err}
	f.doubt()
}

// retract takes back what was heard of f, for the replies may have been others'. Only a peer that does not know BDAT, and says so
// before anything can have been shifted, has certainly not taken the message.
func (f *flight) retract(e *Error) {
	f.sent, f.tx.Reply = false, Reply{}
	f.unknown = f.early || !f.ended.IsZero() || e.Command != AtDot || e.Code/100 != 5
	f.forget()
	f.failed = &Error{Command: AtDot, Enhanced: "4.5.0", Err: fmt.Errorf("%w: %w", errShifted, e)}
	f.doubt()
}
