package smtpd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/millrace/millrace/filter"
)

const (
	// smallBuffer is what an idle connection keeps for its next command.
	smallBuffer = 2 << 10
	// largeBuffer is lent to a connection that brings a message.
	largeBuffer = 64 << 10
	// maxLine bounds a command with its line end. RFC 5321 section 4.5.3.1.4 asks for 512 bytes, the extensions add to it; Postfix takes 2,048.
	maxLine = 4 << 10
)

// largeBuffers are the buffers of connections that bring no message now.
var largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}

var errLongLine = errors.New("line too long")

// input reads what a client sends. Each read has a deadline. Only the session's goroutine uses an input.
type input struct {
	nc    net.Conn
	halt  *filter.Halt
	armed time.Time // the deadline of the last read: a command that comes byte by byte has one
	buf   []byte
	r, w  int     // buf[r:w] was read and not used yet
	small []byte  // waits while the large buffer is lent
	large *[]byte // lent for a message; nil: none is
}

func newInput(nc net.Conn, halt *filter.Halt) *input {
	return &input{nc: nc, halt: halt, buf: make([]byte, smallBuffer)}
}

// buffered is how many bytes are there without a read.
func (in *input) buffered() int { return in.w - in.r }

// fill reads once, until the deadline at the latest.
func (in *input) fill(until time.Time) error {
	if in.r == in.w {
		in.r, in.w = 0, 0
	} else if in.w == len(in.buf) {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	if in.w == len(in.buf) {
		if len(in.buf) >= maxLine {
			return errLongLine
		}
		in.grow(make([]byte, maxLine))
	}
	if !until.Equal(in.armed) {
		if err := in.halt.Arm(in.nc, until); err != nil {
			return err
		}
		in.armed = until
	}
	n, err := in.nc.Read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return in.halt.Cause(err)
}

// grow goes on in a larger buffer.
func (in *input) grow(buf []byte) {
	in.w = copy(buf, in.buf[in.r:in.w])
	in.r, in.buf = 0, buf
}

// line returns the next line with its LF. It is valid until the next read. A line that is too long is read to its end, and
// errLongLine returned.
func (in *input) line(until time.Time) ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(in.buf[in.r+seen:in.w], '\n'); i >= 0 {
			line := in.buf[in.r : in.r+seen+i+1]
			in.r += len(line)
			if len(line) > maxLine {
				return nil, errLongLine
			}
			return line, nil
		}
		seen = in.buffered()
		if seen >= maxLine {
			return nil, in.skipLine(until)
		}
		if err := in.fill(until); err != nil {
			return nil, err
		}
	}
}

// skipLine reads to the end of a line that is too long, and returns errLongLine.
func (in *input) skipLine(until time.Time) error {
	for {
		i := bytes.IndexByte(in.buf[in.r:in.w], '\n')
		if i >= 0 {
			in.r += i + 1
			return errLongLine
		}
		in.r, in.w = 0, 0
		if err := in.fill(until); err != nil {
			return err
		}
	}
}

// skip reads past the next bytes.
func (in *input) skip(size int64, until time.Time) error {
	for size > 0 {
		if in.buffered() == 0 {
			if err := in.fill(until); err != nil {
				return err
			}
		}
		n := min(size, int64(in.buffered()))
		in.r += int(n)
		size -= n
	}
	return nil
}

// beginContent lends the large buffer, and endContent takes it back.
func (in *input) beginContent() {
	if in.large == nil {
		in.large, in.small = largeBuffers.Get().(*[]byte), in.buf
		in.grow(*in.large)
	}
}

// endContent leaves the large buffer to another connection, unless the client has sent much of what follows already.
func (in *input) endContent() {
	if in.large != nil && in.buffered() <= len(in.small) {
		in.grow(in.small)
		largeBuffers.Put(in.large)
		in.large = nil
	}
}
