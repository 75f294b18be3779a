package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"time"
)

// Bounds of one reply. RFC 5321, 4.5.3.1.5 asks for 512 bytes a line; real replies
// with links and reasons are longer.
const (
	maxLine  = 4096 // bytes of one line on the wire, the reader's buffer; more is a protocol error
	keepLine = 2048 // bytes of one line that are kept
	maxLines = 100  // lines of one reply; more is a protocol error
	keepText = 8192 // scratch memory kept between replies
)

// errProtocol is wrapped by every error that means that the peer does not speak
// SMTP as we know it. Nothing that follows on the connection has a meaning then.
var errProtocol = errors.New("protocol error")

// source is the read side of the connection below the buffer. It sets the deadline
// once per reply and not at each read: a peer that sends a byte now and then gains
// no time. A reply that is in the buffer already costs no system call.
type source struct {
	nc    net.Conn
	wait  time.Duration // for the reply that is being read
	until time.Time     // an earlier end than wait, unless zero
	armed bool
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if !s.armed {
		s.armed = true
		if err := s.nc.SetReadDeadline(earlier(time.Now().Add(s.wait), s.until)); err != nil {
			return 0, err
		}
	}
	return s.nc.Read(p)
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
	text []byte
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
// for yet.
func (r *reader) pending() bool { return r.br.Buffered() > 0 }

// readReply reads one reply. The whole reply must come within wait and before until
// (if that is set). The result is valid until the next call.
func (r *reader) readReply(wait time.Duration, until time.Time) (raw, error) {
	r.src.wait, r.src.until, r.src.armed = wait, until, false
	if cap(r.text) > keepText {
		r.text = nil
	}
	r.text = r.text[:0]
	code := 0
	for n := range maxLines {
		l, err := r.readLine()
		if err != nil {
			return raw{}, err
		}
		if n == 0 {
			code = l.code
		} else {
			r.text = append(r.text, '\n')
		}
		if l.code != code {
			return raw{}, fmt.Errorf("%w: reply %d continues as %d", errProtocol, code, l.code)
		}
		r.text = append(r.text, l.text...)
		if !l.more {
			return raw{code: code, text: r.text}, nil
		}
	}
	return raw{}, fmt.Errorf("%w: reply of more than %d lines", errProtocol, maxLines)
}

func (r *reader) readLine() (replyLine, error) {
	b, err := r.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return replyLine{}, fmt.Errorf("%w: reply line over %d bytes", errProtocol, maxLine)
	}
	if err != nil {
		return replyLine{}, err
	}
	return parseLine(b)
}

// replyLine is one line of a reply; its text is only valid until the next read.
type replyLine struct {
	code int
	more bool // a "-" follows the code: not the last line
	text []byte
}

// parseLine reads one line, with its LF or CRLF. A missing text is accepted, as
// is a bare LF; a code outside 200 to 599 is not, since RFC 5321, 4.2.1 knows
// no other class.
func parseLine(b []byte) (replyLine, error) {
	b = b[:len(b)-1]
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	code, ok := parseCode(b)
	if !ok {
		return replyLine{}, fmt.Errorf("%w: not a reply: %q", errProtocol, b[:min(len(b), 80)])
	}
	if len(b) == 3 {
		return replyLine{code: code}, nil
	}
	if b[3] != ' ' && b[3] != '-' {
		return replyLine{}, fmt.Errorf("%w: not a reply: %q", errProtocol, b[:min(len(b), 80)])
	}
	return replyLine{code: code, more: b[3] == '-', text: b[4:min(len(b), keepLine)]}, nil
}

func parseCode(b []byte) (int, bool) {
	if len(b) < 3 || b[0] < '2' || b[0] > '5' {
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
