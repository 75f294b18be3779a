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
	// frameHead is the length and the command byte.
	frameHead = 5
)

var errEmptyFrame = errors.New("frame of length zero")

// frames reads milter frames: a length of 32 bits, a command byte, a payload. A frame that has come whole costs no call to the
// system and no allocation.
type frames struct {
	in   *bufio.Reader
	from *deadlined
	buf  []byte // the payload of a frame too large for in
}

// inSize is the read buffer of a connection. Most newsletters come in one read with what stands around their body. A larger body goes
// past the buffer.
const inSize = 24 << 10

func newFrames(from *deadlined) frames {
	return frames{in: bufio.NewReaderSize(from, inSize), from: from}
}

// head reads the head of the next frame and returns the command and the length of the payload. The caller must read the
// payload with payload, appendTo or skip. A length out of bounds is refused before memory is allocated for it. At the end
// of the stream head returns io.EOF. If it may halt, and the connection is to be handed over, head returns filter.ErrHalted instead of
// waiting; what came of the frame stays in the buffer.
func (f *frames) head(mayHalt bool) (code byte, n int, err error) {
	if f.whole() {
		return f.readHead()
	}
	f.buf = nil // before the wait, which may take an hour
	f.from.between(f.in.Buffered() > 0)
	if mayHalt {
		f.from.halt.Allow(f.from.nc)
		defer f.from.halt.Allow(nil)
	}
	return f.readHead()
}

// whole reports whether all of the next frame is in the buffer.
func (f *frames) whole() bool {
	have := f.in.Buffered()
	if have < frameHead {
		return false
	}
	b, _ := f.in.Peek(frameHead) // cannot fail: they are there
	return uint64(have) >= 4+uint64(binary.BigEndian.Uint32(b))
}

// readHead reads the head, and waits for it where it must.
func (f *frames) readHead() (code byte, n int, err error) {
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

// payload reads n bytes and returns them. They are valid until the next read.
func (f *frames) payload(n int) ([]byte, error) {
	if n > f.in.Size() {
		var err error
		f.buf, err = f.appendTo(nil, n)
		return f.buf, err
	}
	b, err := f.in.Peek(n)
	if err != nil {
		return nil, partial(1, err)
	}
	_, err = f.in.Discard(n)
	return b, err
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

// appendFrame appends a frame of ours.
func appendFrame(dst []byte, code byte, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)+1))
	return append(append(dst, code), payload...)
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
