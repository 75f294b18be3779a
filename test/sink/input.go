package sink

import (
	"bytes"
	"errors"
	"io"
)

const (
	inputSize = 64 << 10
	// maxLine bounds a command line. RFC 5321 section 4.5.3.1.4 says 512 and extensions add to it; 4096 is generous.
	maxLine = 4096
)

var (
	errLongLine = errors.New("command line too long")
	errTooBig   = errors.New("message too big")
	crlfDot     = []byte("\r\n.")
)

// input is a read buffer that knows command lines and dot-stuffed messages. A slice it returns is valid until the
// next call.
type input struct {
	src  io.Reader
	buf  []byte
	r, w int
}

func newInput(src io.Reader) *input {
	return &input{src: src, buf: make([]byte, inputSize)}
}

// reset drops what is buffered and reads from src from now on.
func (in *input) reset(src io.Reader) { in.src, in.r, in.w = src, 0, 0 }

// buffered returns the number of bytes that have been received and not used yet.
func (in *input) buffered() int { return in.w - in.r }

// fill makes room and reads once. The buffer must not be full of unused bytes.
func (in *input) fill() error {
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	n, err := in.src.Read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// need fills until n bytes are buffered.
func (in *input) need(n int) error {
	for in.buffered() < n {
		if err := in.fill(); err != nil {
			return err
		}
	}
	return nil
}

// line returns the next line without its end, which is LF or CRLF.
func (in *input) line() ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(in.buf[in.r+seen:in.w], '\n'); i >= 0 {
			line := in.buf[in.r : in.r+seen+i]
			in.r += seen + i + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		seen = in.buffered()
		if seen > maxLine {
			return nil, errLongLine
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// message appends the lines up to CRLF.CRLF to dst, without the dots that were stuffed in front of them, and returns
// the longer dst (RFC 5321 section 4.5.2). Only CRLF ends a line here: a bare LF before a dot neither ends the message
// nor hides a dot, so the ledger holds what a strict receiver would hold. A message over max bytes is read to its end,
// and message returns errTooBig.
func (in *input) message(dst []byte, max int) ([]byte, error) {
	start, lineStart, tooBig := len(dst), true, false
	for {
		if err := in.need(3); err != nil {
			return dst, err
		}
		if lineStart && in.buf[in.r] == '.' {
			if in.buf[in.r+1] == '\r' && in.buf[in.r+2] == '\n' {
				in.r += 3
				return dst, errIf(tooBig)
			}
			in.r++
		}
		var chunk []byte
		chunk, lineStart = in.upToDot()
		if tooBig = tooBig || len(dst)-start+len(chunk) > max; !tooBig {
			dst = append(dst, chunk...)
		}
	}
}

func errIf(tooBig bool) error {
	if tooBig {
		return errTooBig
	}
	return nil
}

// upToDot uses up the buffered bytes before the next line that begins with a dot. When there is no such line it uses up
// all bytes but a last CR or CRLF: these stay until the byte after them is known. dot says that such a line comes next.
func (in *input) upToDot() (chunk []byte, dot bool) {
	window := in.buf[in.r:in.w]
	n := len(window)
	if i := bytes.Index(window, crlfDot); i >= 0 {
		n, dot = i+2, true
	} else if bytes.HasSuffix(window, crlfDot[:2]) {
		n -= 2
	} else if bytes.HasSuffix(window, crlfDot[:1]) {
		n--
	}
	in.r += n
	return window[:n], dot
}

// block appends the next n bytes to dst. When dst would grow beyond max, it drops them and returns errTooBig.
func (in *input) block(dst []byte, n, max int) ([]byte, error) {
	keep := n <= max-len(dst)
	for n > 0 {
		if err := in.need(1); err != nil {
			return dst, err
		}
		chunk := in.buf[in.r:min(in.w, in.r+n)]
		in.r += len(chunk)
		n -= len(chunk)
		if keep {
			dst = append(dst, chunk...)
		}
	}
	return dst, errIf(!keep)
}
