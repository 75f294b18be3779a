package snapshot

import (
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// batch is one commit in the making: the frames that go to the disk in one write, and who waits for them. It is guarded
// by Agent.mu until the writer has sealed it.
type batch struct {
	seg    *segment
	start  int64 // its first byte in the segment
	stamp  format.Stamp
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
		seg: s, start: s.end, stamp: s.nextStamp(), buf: append(buf[:0], make([]byte, format.CommitFrame)...), wake: wake,
		sealed: make(chan struct{}), done: make(chan struct{}),
	}
}

func (b *batch) empty() bool { return len(b.buf) == format.CommitFrame && len(b.marks) == 0 }

// body returns the number of m's body in the segment, and writes it there if it is new.
func (b *batch) body(m *relay.Message) uint32 {
	body, sum := bodyOf(m)
	if n, ok := b.seg.bodies[sum]; ok {
		return n
	}
	r := format.Body{Number: b.seg.nbodies, Sum: sum, Content: body}
	b.seg.nbodies++
	b.seg.bodies[sum] = r.Number
	b.frame(format.KindBody, r.Append)
	return r.Number
}

// frame writes one frame.
func (b *batch) frame(k format.Kind, payload func([]byte) []byte) {
	buf, at := format.BeginFrame(b.buf)
	b.buf = payload(buf)
	format.EndFrame(b.buf, at, k, b.stamp)
}

// take writes the frame of a message.
func (b *batch) take(t *format.Take) { b.frame(format.KindTake, t.Append) }

// seal makes the marks a frame. Nothing is added afterwards.
func (b *batch) seal() {
	if len(b.marks) > 0 {
		b.frame(format.KindMarks, func(p []byte) []byte { return append(p, b.marks...) })
	}
	b.seg.end = b.end()
	close(b.sealed)
}

// head fills in the commit frame: everything before durable is known to be on the disk.
func (b *batch) head(durable int64, now time.Time) {
	format.FillCommit(b.buf, durable, now, b.stamp)
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
