package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/millrace/millrace/relay"
)

const (
	commitPayload = 16
	commitFrame   = frameHead + commitPayload
)

// batch is one commit in the making: the frames that go to the disk in one write, and who waits for them. It is guarded
// by Agent.mu until the writer has sealed it.
type batch struct {
	seg    *segment
	start  int64 // its first byte in the segment
	stamp  stamp
	buf    []byte // begins with room for the commit frame
	marks  []byte // become a frame when the batch is sealed
	takes  []*entry
	copies []*entry
	sealed chan struct{}
	done   chan struct{} // closed when err is known
	err    error
	wake   chan<- struct{} // the writer's

	answered bool // belongs to the writer: done is closed
}

func newBatch(s *segment, buf []byte, wake chan<- struct{}) *batch {
	return &batch{
		seg: s, start: s.end, stamp: s.nextStamp(), buf: append(buf[:0], make([]byte, commitFrame)...), wake: wake,
		sealed: make(chan struct{}), done: make(chan struct{}),
	}
}

func (b *batch) empty() bool { return len(b.buf) == commitFrame && len(b.marks) == 0 }

// body returns the number of m's body in the segment, and writes it there if it is new.
func (b *batch) body(m *relay.Message) uint32 {
	body, sum := bodyOf(m)
	if n, ok := b.seg.bodies[sum]; ok {
		return n
	}
	n := b.seg.nbodies
	b.seg.nbodies++
	b.seg.bodies[sum] = n
	buf, at := beginFrame(b.buf)
	b.buf = appendBody(buf, n, sum, body)
	endFrame(b.buf, at, kindBody, b.stamp)
	return n
}

// take writes the frame of a message.
func (b *batch) take(t *takeRecord) {
	buf, at := beginFrame(b.buf)
	b.buf = t.append(buf)
	endFrame(b.buf, at, kindTake, b.stamp)
}

// seal makes the marks a frame. Nothing is added afterwards.
func (b *batch) seal() {
	if len(b.marks) > 0 {
		buf, at := beginFrame(b.buf)
		b.buf = append(buf, b.marks...)
		endFrame(b.buf, at, kindMarks, b.stamp)
	}
	b.seg.end = b.end()
	close(b.sealed)
}

// head fills in the commit frame: everything before durable is known to be on the disk.
func (b *batch) head(durable int64, now time.Time) {
	f := b.buf[:commitFrame]
	binary.BigEndian.PutUint64(f[frameHead:], uint64(durable))
	binary.BigEndian.PutUint64(f[frameHead+8:], uint64(now.UnixNano()))
	endFrame(f, 0, kindBatch, b.stamp)
}

// end is where the next batch begins.
func (b *batch) end() int64 { return b.start + int64(len(b.buf)) }

// newFailed returns a batch that is not written, for err.
func newFailed(err error) *batch {
	b := &batch{done: make(chan struct{})}
	b.finish(err)
	return b
}

// Done implements relay.Record. The commit is made at once, unless it is under way.
func (b *batch) Done() <-chan struct{} {
	select {
	case <-b.done:
	case <-b.sealed:
	default:
		signal(b.wake)
	}
	return b.done
}

// Err implements relay.Record.
func (b *batch) Err() error { return b.err }

// signal tells the writer that somebody waits.
func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// finish tells those who wait, once.
func (b *batch) finish(err error) {
	if !b.answered {
		b.answered, b.err = true, err
		close(b.done)
	}
}

func bodyOf(m *relay.Message) ([]byte, [32]byte) {
	if m.Wrapper != nil {
		return m.Wrapper.Body, m.Wrapper.Sum
	}
	return m.Body, sha256.Sum256(m.Body)
}

// A body frame is uvarint number · 32 bytes SHA-256 of the body · body.
func appendBody(b []byte, number uint32, sum [32]byte, body []byte) []byte {
	b = binary.AppendUvarint(b, uint64(number))
	b = append(b, sum[:]...)
	return append(b, body...)
}

// decodeBody reads a body frame; body is a part of p.
func decodeBody(p []byte) (number uint32, sum [32]byte, body []byte, err error) {
	d := &decoder{b: p}
	number = uint32(d.number(maxBase))
	if d.bad || len(d.b) < len(sum) {
		return 0, sum, nil, errRecord
	}
	copy(sum[:], d.b)
	return number, sum, d.b[len(sum):], nil
}
