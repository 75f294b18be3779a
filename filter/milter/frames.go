package milter

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

const (
	// maxFrame bounds a frame: the command byte and its payload. MTAs send at most 65,536 bytes, but larger header
	// fields have been seen.
	maxFrame = 1 << 20
	// allocStep is how much memory is allocated ahead of the bytes that have come.
	allocStep = 64 << 10
	// keepFrame is the largest buffer that is kept for the next frame.
	keepFrame = 64 << 10
	// frameHead is the length and the command byte.
	frameHead = 5
)

var errEmptyFrame = errors.New("frame of length zero")

// frames reads milter frames: a length of 32 bits, a command byte, a payload.
type frames struct {
	in   *bufio.Reader
	from *deadlined
	buf  []byte // the frame last loaded, head included
}

// head reads the head of the next frame and returns the command and the length of the payload. The caller must read the
// payload with load, appendTo or skip. A length out of bounds is refused before memory is allocated for it. At the end
// of the stream head returns io.EOF. If it may halt, and the connection is to be handed over, head returns filter.ErrHalted instead of
// waiting; what came of the frame stays in the buffer.
func (f *frames) head(mayHalt bool) (code byte, n int, err error) {
	if cap(f.buf) > keepFrame {
		f.buf = nil // before the wait, which may take an hour
	}
	f.from.between(f.in.Buffered() > 0)
	if mayHalt {
		f.from.halt.Allow(f.from.nc)
		defer f.from.halt.Allow(nil)
	}
	b, err := f.in.Peek(4)
	if err != nil {
		return 0, 0, partial(len(b), err)
	}
	length := binary.BigEndian.Uint32(b)
	if length == 0 {
		return 0, 0, errEmptyFrame
	}
	if length > maxFrame {
		return 0, 0, fmt.Errorf("frame of %d bytes, more than %d", length, maxFrame)
	}
	b, err = f.in.Peek(frameHead)
	if err != nil {
		return 0, 0, partial(len(b), err)
	}
	code = b[4]
	_, err = f.in.Discard(frameHead)
	return code, int(length) - 1, err
}

// load reads a payload of n bytes into the frame buffer and returns it. The payload is valid until the next load.
func (f *frames) load(code byte, n int) ([]byte, error) {
	f.putHead(code, n)
	var err error
	f.buf, err = f.appendTo(f.buf, n)
	return f.buf[frameHead:], err
}

// putHead makes the frame buffer hold the head of a frame.
func (f *frames) putHead(code byte, n int) {
	f.buf = binary.BigEndian.AppendUint32(f.buf[:0], uint32(n+1))
	f.buf = append(f.buf, code)
}

// appendTo reads n bytes behind dst. Memory grows as the bytes come, so that a length alone costs nothing.
func (f *frames) appendTo(dst []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, allocStep)
		at := len(dst)
		dst = slices.Grow(dst, step)[:at+step]
		if _, err := io.ReadFull(f.in, dst[at:]); err != nil {
			return dst[:at], partial(1, err)
		}
		n -= step
	}
	return dst, nil
}

// skip reads n bytes and forgets them.
func (f *frames) skip(n int) error {
	_, err := f.in.Discard(n)
	return partial(1, err)
}

// gone reports whether the peer has closed its side. It is called while we owe an answer: a correct MTA sends nothing
// then.
func (f *frames) gone() bool {
	err := f.probe(probeTime)
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// probe waits for the peer to say something, between frames, and returns os.ErrDeadlineExceeded when it says nothing for
// that long. What comes stays to be read.
func (f *frames) probe(wait time.Duration) error {
	f.from.probing = wait
	_, err := f.in.Peek(1)
	f.from.probing = 0
	return err
}

// partial tells an end within a frame from one between frames.
func partial(have int, err error) error {
	if have > 0 && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
