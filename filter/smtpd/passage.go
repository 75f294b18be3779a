package smtpd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/millrace/millrace/filter"
)

// passEnvelope is what the MTA is told before the content.
type passEnvelope struct {
	mail    string   // the argument of MAIL as it came, without "FROM:": "<a@b> SIZE=1 BODY=8BITMIME"
	rcpts   []string // those of RCPT, without "TO:"
	client  filter.Offer
	queueID string
	login   string
	forward attributes // what the client said of where the message comes from; only its port, protocol and source are looked at here
}

// passage is a transaction with the MTA. Only one goroutine uses it.
type passage struct {
	up   *upstream
	w    *wire // nil: it has been given back, or closed
	said []reply

	inData    bool   // the MTA reads content
	buf       []byte // of a message under way, not written yet
	lent      *[]byte
	lineStart bool  // what comes next begins a line
	refusal   reply // of an MTA that did not wait for the end
}

// replyNoUTF8 is for a message that the MTA cannot take whole. It is not sent as another one.
var replyNoUTF8 = reply{550, "5.6.7", "the mail server behind this filter does not announce SMTPUTF8, which the message asks for"}

// say has the envelope said. Afterwards there is a reply for each recipient.
func (p *passage) say(e passEnvelope, until time.Time) error {
	if needsUTF8(e.mail) && !p.w.can.utf8 {
		p.fillReplies(len(e.rcpts), replyNoUTF8)
		return nil
	}
	commands := p.w.can.forwards(&e)
	first := len(commands)
	commands = append(commands, "MAIL FROM:"+p.w.can.argument(e.mail))
	for _, r := range e.rcpts {
		commands = append(commands, "RCPT TO:"+p.w.can.argument(r))
	}
	replies, err := p.w.exchange(commands, until)
	if err != nil {
		return err
	}
	// The MTA may not care where the message comes from.
	if mail := replies[first]; mail.code == 421 {
		return positive("MAIL", mail, nil)
	} else if !mail.ok() {
		p.fillReplies(len(e.rcpts), mail) // behind it RCPT is out of place, and its replies mean nothing
		return nil
	}
	p.said = replies[first+1:]
	return nil
}

func (p *passage) fillReplies(n int, r reply) {
	p.said = make([]reply, n)
	for i := range p.said {
		p.said[i] = r
	}
}

// maxFlight bounds the commands under way, in bytes: while we write, nobody reads the replies, and the MTA may be blocked by them.
const maxFlight = 8 << 10

// exchange has the commands said, as many at a time as the MTA allows, and returns a reply for each.
func (w *wire) exchange(commands []string, until time.Time) ([]reply, error) {
	replies := make([]reply, 0, len(commands))
	var b []byte
	for i, c := range commands {
		if strings.ContainsAny(c, "\r\n\x00") {
			return nil, errCommandText
		}
		b = append(append(b, c...), '\r', '\n')
		if w.can.pipelining && len(b) < maxFlight && i < len(commands)-1 {
			continue
		}
		if err := w.write(b, until); err != nil {
			return nil, fmt.Errorf("writing the envelope: %w", err)
		}
		b = b[:0]
		for len(replies) <= i {
			r, err := w.answers.read(until, nil)
			if err != nil {
				return nil, fmt.Errorf("waiting for a reply to the envelope: %w", err)
			}
			replies = append(replies, r)
		}
	}
	return replies, nil
}

// replies are those to RCPT, in order.
func (p *passage) replies() []reply { return p.said }

// data has the MTA wait for the content. It is called when at least one recipient was taken. An MTA that refuses the message here has
// its reply returned by end.
func (p *passage) data(until time.Time) error {
	r, err := p.w.ask("DATA", until, nil)
	switch {
	case err != nil:
		p.hangUp()
		return positive("DATA", r, err)
	case r.code == 354:
		p.inData = true
		p.lent = largeBuffers.Get().(*[]byte)
		p.buf = (*p.lent)[:0]
	case r.ok():
		p.hangUp()
		return fmt.Errorf("the reply to DATA is %q", r.String())
	default:
		p.refusal = r
		p.leave(false)
	}
	return nil
}

// Write sends canonical content on: lines that end with CRLF, in any pieces. It never fails because the MTA refuses the message before
// it has come whole: then the rest is dropped, and end returns the refusal.
func (p *passage) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 && p.refusal.code == 0 {
		if p.lineStart && b[0] == '.' {
			if err := p.store([]byte{'.'}); err != nil {
				return 0, err
			}
		}
		piece := b
		if i := bytes.Index(b, []byte("\n.")); i >= 0 {
			piece = b[:i+1]
		}
		if err := p.store(piece); err != nil {
			return 0, err
		}
		p.lineStart = piece[len(piece)-1] == '\n'
		b = b[len(piece):]
	}
	return n, nil
}

// store copies into the buffer, and writes it when it is full.
func (p *passage) store(b []byte) error {
	for len(b) > 0 {
		k := copy(p.buf[len(p.buf):largeBuffer], b)
		p.buf = p.buf[:len(p.buf)+k]
		b = b[k:]
		if len(p.buf) == largeBuffer {
			if err := p.flush(time.Now().Add(p.up.stall)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAround is how long a write may block before somebody looks whether the MTA has said something: one that has refused a message
// need not read the rest of it.
const lookAround = time.Second

// flush writes the buffer. When the MTA has something to say before the end, that is its refusal, and nothing more is written.
func (p *passage) flush(until time.Time) error {
	b := p.buf
	p.buf = p.buf[:0]
	for len(b) > 0 && p.refusal.code == 0 {
		if p.w.answers.pending() || readable(p.w.nc) {
			return p.hearRefusal(nil)
		}
		if err := p.w.nc.SetWriteDeadline(earliest(time.Now().Add(lookAround), until)); err != nil {
			return err
		}
		n, err := p.w.nc.Write(b)
		b = b[n:]
		if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(until)) {
			return p.hearRefusal(err)
		}
	}
	return nil
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// hearRefusal reads what an MTA says in the middle of a message. It has the dot of no message, so it can have taken none. cause is why
// it can be written to no longer.
func (p *passage) hearRefusal(cause error) error {
	r, err := p.w.answers.read(time.Now().Add(lastWords), nil)
	p.hangUp()
	switch {
	case err == nil && r.code >= 400:
		p.refusal = r
		return nil
	case cause == nil && err == nil:
		return fmt.Errorf("the MTA says %q in the middle of a message", r.String())
	case cause == nil:
		cause = err
	}
	return fmt.Errorf("the MTA has hung up in the middle of a message: %w", cause)
}

// end ends the content, and waits for the MTA's reply. An error means that nobody knows whether the MTA has taken the message, or that
// it has not.
func (p *passage) end(until time.Time) (reply, error) {
	defer p.release()
	if p.refusal.code == 0 && !p.lineStart {
		if _, err := p.Write([]byte("\r\n")); err != nil {
			return reply{}, err
		}
	}
	if p.refusal.code == 0 && !time.Now().Before(until) {
		p.hangUp()
		return reply{}, errors.New("too late to end the message")
	}
	if p.refusal.code == 0 {
		if err := p.endContent(until); err != nil {
			return reply{}, err
		}
	}
	if p.refusal.code != 0 {
		return p.refusal, nil
	}
	r, err := p.w.answers.read(until, nil)
	if err != nil {
		p.hangUp()
		return reply{}, fmt.Errorf("no reply to the end of the message, so nobody knows whether the MTA has taken it: %w", err)
	}
	p.inData = false
	p.leave(r.ok())
	return r, nil
}

// endContent writes the rest with the dot.
func (p *passage) endContent(until time.Time) error {
	if len(p.buf)+len(".\r\n") > largeBuffer {
		if err := p.flush(until); err != nil {
			return err
		}
	}
	p.buf = append(p.buf, ".\r\n"...)
	return p.flush(until)
}

// abort gives the message up. Nothing of it is delivered: an MTA that has read no dot has no message.
func (p *passage) abort() {
	defer p.release()
	switch {
	case p.w == nil:
	case p.inData:
		p.hangUp()
	default:
		p.leave(false)
	}
}

// leave gives the wire back. One on which something was refused is not used again: Postfix counts errors, and slows down a client that
// makes them.
func (p *passage) leave(clean bool) {
	w := p.w
	p.w = nil
	if clean {
		p.up.keep(w)
	} else {
		w.quit()
	}
}

// hangUp closes the wire without another word.
func (p *passage) hangUp() {
	if p.w != nil {
		p.w.nc.Close()
		p.w = nil
	}
}

// release gives the buffer back.
func (p *passage) release() {
	if p.buf != nil {
		largeBuffers.Put(p.lent)
		p.buf, p.lent = nil, nil
	}
}
