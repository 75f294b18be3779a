package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"
)

// Bounds of one reply. RFC 5321, 4.5.3.1.5 asks for 512 bytes a line; real replies
// with links and reasons are longer. A reply beyond the bounds on what is kept is cut,
// because its code is as good as any other; one beyond the bounds on what is read has
// no end.
const (
	maxLine    = 4096      // bytes of one line that are looked at, the reader's buffer
	keepLine   = 2048      // bytes of one line that are kept
	keepText   = 4096      // bytes of a reply after which no more lines are kept, but for the last one
	maxLines   = 100       // lines of a reply that are kept
	maxReply   = 512 << 10 // bytes of one reply on the wire; more is a protocol error
	maxSkipped = 100       // lines before or within one reply that are no reply; more is a protocol error
)

// errProtocol is wrapped by every error that means that the peer does not speak
// SMTP as we know it. Nothing that follows on the connection has a meaning then.
var errProtocol = errors.New("protocol error")

// errNoise is wrapped by the error of a reply that did not come when lines came that are no reply.
var errNoise = errors.New("peer said what is no reply")

// source is the read side of the connection below the buffer. It sets the deadline
// once per reply and not at each read: a peer that sends a byte now and then gains
// no time. A reply that is in the buffer already costs no system call.
type source struct {
	nc    net.Conn
	wait  time.Duration // for the reply that is being read
	until time.Time     // an earlier end than wait, unless zero
	asked time.Time     // since when it is waited for; zero: it was in the buffer
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.asked.IsZero() {
		s.asked = time.Now()
		if err := s.nc.SetReadDeadline(earlier(s.asked.Add(s.wait), s.until)); err != nil {
			return 0, err
		}
	}
	return s.nc.Read(p)
}

// silence is how long the last reply was waited for, or is.
func (s *source) silence() time.Duration {
	if s.asked.IsZero() {
		return 0
	}
	return time.Since(s.asked)
}

// earlier returns a, or b when b is set and comes first.
func earlier(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// reader reads replies and trusts none of them.
type reader struct {
	src  source
	br   *bufio.Reader
	text []byte // of the reply that is being read
}

// reset makes r read from nc and drops the bytes in the buffer.
func (r *reader) reset(nc net.Conn) {
	r.src = source{nc: nc}
	if r.br == nil {
		r.br = bufio.NewReaderSize(&r.src, maxLine)
		return
	}
	r.br.Reset(&r.src)
}

// pending reports whether the buffer holds bytes of a reply that nobody has asked
// for yet. It throws away the lines before them that are no reply.
func (r *reader) pending() bool {
	for r.br.Buffered() > 0 {
		b, _ := r.br.Peek(r.br.Buffered()) // never more than there is, so no error
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return true
		}
		if _, ok := parseLine(b[:end+1]); ok {
			return true
		}
		_, _ = r.br.Discard(end + 1)
	}
	return false
}

// fill reads once what waits at the socket into the empty buffer. It reports false at the end of input.
func (r *reader) fill() bool {
	r.src.wait, r.src.until, r.src.asked = lastWords, time.Time{}, time.Time{}
	_, err := r.br.Peek(1)
	return err == nil
}

// readReply reads one reply as Postfix does: the code of the last line decides, and
// lines that are no reply are skipped. The whole reply must come within wait and
// before until (if that is set). The result is valid until the next call.
func (r *reader) readReply(wait time.Duration, until time.Time) (raw, error) {
	r.src.wait, r.src.until, r.src.asked = wait, until, time.Time{}
	r.text = r.text[:0]
	var p partial
	for {
		b, n, err := r.readLine()
		if err != nil {
			return raw{}, p.interrupted(err)
		}
		if p.read += n; p.read > maxReply {
			return raw{}, fmt.Errorf("%w: reply of more than %d bytes", errProtocol, maxReply)
		}
		l, ok := parseLine(b)
		if !ok {
			if err := p.skip(b); err != nil {
				return raw{}, err
			}
			continue
		}
		r.text = p.keep(r.text, l)
		if !l.more {
			return raw{code: l.code, text: r.text, odd: p.odd, noisy: p.skipped > 0}, nil
		}
	}
}

// readLine returns the next line, or the beginning of one that is longer than the
// buffer, and how long the whole line is.
func (r *reader) readLine() (line []byte, n int, err error) {
	line, err = r.br.ReadSlice('\n')
	n = len(line)
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, n, err
	}
	line = bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) && n <= maxReply {
		var rest []byte
		rest, err = r.br.ReadSlice('\n')
		n += len(rest)
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		err = nil // n tells the caller
	}
	return line, n, err
}

// partial is a reply as far as it is read.
type partial struct {
	read    int    // bytes
	lines   int    // kept
	head    int    // length of the text without the last line, once no more lines are kept
	code    int    // of the last line
	odd     bool   // the lines do not agree, or some are no reply
	skipped int    // lines that are no reply
	noise   string // the first of them
}

// skip counts a line that is no reply, with its line end. Its error says that there
// are too many.
func (p *partial) skip(b []byte) error {
	p.odd = true
	if p.skipped++; p.skipped == 1 {
		p.noise = string(b[:min(len(b), 80)])
	}
	if p.skipped > maxSkipped {
		return fmt.Errorf("%w: more than %d times the %w: %q", errProtocol, maxSkipped, errNoise, p.noise)
	}
	return nil
}

// keep appends a line to text. When text is full, each line replaces the one
// before: the last line has the code that counts, and often the only reason.
func (p *partial) keep(text []byte, l replyLine) []byte {
	if p.code != 0 && p.code != l.code {
		p.odd = true
	}
	first := p.code == 0
	p.code = l.code
	if p.head == 0 && (p.lines == maxLines-1 || len(text) > keepText) {
		p.head = len(text)
	}
	if p.head > 0 {
		text = text[:p.head]
	}
	p.lines++
	if !first {
		text = append(text, '\n')
	}
	return append(text, l.text...)
}

// interrupted adds to the error of a reply that did not come the words that came
// instead.
func (p *partial) interrupted(err error) error {
	if p.skipped == 0 {
		return err
	}
	return fmt.Errorf("%w (%w: %q)", err, errNoise, p.noise)
}

// replyLine is one line of a reply; its text is only valid until the next read.
type replyLine struct {
	code int
	more bool // a "-" follows the code: not the last line
	text []byte
}

// parseLine reads one line, with its LF or CRLF; it reports false for a line that is
// no reply. Like Postfix it accepts a missing text, a bare LF, several CRs, text after
// a NUL (which it drops), and every code of three digits. RFC 5321, 4.2.1 knows only
// the classes 2 to 5, but a peer that invents one has ended its reply by it all the
// same. A code below 100 is none: 0 stands for no reply everywhere else.
func parseLine(b []byte) (replyLine, bool) {
	b = bytes.TrimRight(b, "\r\n")
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	code, ok := parseCode(b)
	switch {
	case !ok:
		return replyLine{}, false
	case len(b) == 3:
		return replyLine{code: code}, true
	case b[3] != ' ' && b[3] != '-':
		return replyLine{}, false
	}
	return replyLine{code: code, more: b[3] == '-', text: b[4:min(len(b), keepLine)]}, true
}

func parseCode(b []byte) (int, bool) {
	if len(b) < 3 || b[0] == '0' {
		return 0, false
	}
	code := 0
	for _, d := range b[:3] {
		if d < '0' || d > '9' {
			return 0, false
		}
		code = code*10 + int(d-'0')
	}
	return code, true
}
