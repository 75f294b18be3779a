package snapshot

import (
	"crypto/sha256"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// batch is one commit in the making: the frames that go to the disk in one write, and who waits for them. ledger.mu guards
// it until it is sealed; from then on it belongs to the writer goroutine. Whoever waits reads only done and then err.
type batch struct {
	seg    *segment
	start  int64 // its first byte in the segment
	stamp  format.Stamp
	buf    []byte        // begins with room for the commit frame
	marks  []byte        // become a frame when the batch is sealed
	rcpts  []format.Rcpt // for the next take record: one list for all of them
	takes  []*entry
	copies []*entry
	sealed chan struct{}
	done   chan struct{} // closed when err is known
	err    error
	bell   *bell

	concluded bool // belongs to the writer: done is closed
}

// newBatch begins a commit at the end of s. buf is reused when it is not nil: a commit buffer grows to some megabytes.
func newBatch(s *segment, buf []byte, l *bell) *batch {
	return &batch{
		seg: s, start: s.end, stamp: s.nextStamp(), buf: append(buf[:0], make([]byte, format.CommitFrame)...), bell: l,
		sealed: make(chan struct{}), done: make(chan struct{}),
	}
}

// newFailed returns a batch that is not written, because of err.
func newFailed(err error) *batch {
	b := &batch{done: make(chan struct{})}
	b.conclude(err)
	return b
}

// empty reports whether there is nothing to write. A commit frame alone is not written: the next one says what it would say.
func (b *batch) empty() bool { return len(b.buf) == format.CommitFrame && len(b.marks) == 0 }

// bodyNumber returns the number of m's body in the segment, and writes the body there if it is new. A body is written once in
// each segment and not once for all, so that a segment can be read, and deleted, without another one.
func (b *batch) bodyNumber(m *relay.Message) uint32 {
	body := m.Content.Body()
	sum := sha256.Sum256(body)
	if n, ok := b.seg.bodies[sum]; ok {
		return n
	}
	r := format.Body{Number: b.seg.nbodies, Sum: sum, Content: body}
	b.seg.nbodies++
	b.seg.bodies[sum] = r.Number
	buf, at := format.BeginFrame(b.buf)
	b.buf = r.Append(buf)
	format.EndFrame(b.buf, at, format.KindBody, b.stamp)
	return r.Number
}

// appendTake writes the frame of a message.
func (b *batch) appendTake(t *format.TakeRecord) {
	buf, at := format.BeginFrame(b.buf)
	b.buf = t.Append(buf)
	format.EndFrame(b.buf, at, format.KindTake, b.stamp)
	b.rcpts = t.Rcpts[:0]
}

// seal makes the marks a frame, behind the takes: a mark about a message of the same commit must find it. Nothing is added
// afterwards. Takes that found the batch full wait for sealed.
func (b *batch) seal() {
	if len(b.marks) > 0 {
		buf, at := format.BeginFrame(b.buf)
		b.buf = append(buf, b.marks...)
		format.EndFrame(b.buf, at, format.KindMarks, b.stamp)
	}
	b.seg.end = b.endsAt()
	close(b.sealed)
}

// fillHead fills in the commit frame: everything before durable is known to be on the disk.
func (b *batch) fillHead(durable int64, now time.Time) {
	format.FillCommit(b.buf, durable, now, b.stamp)
}

// endsAt is where the next batch begins.
func (b *batch) endsAt() int64 { return b.start + int64(len(b.buf)) }

// Done implements relay.Record. Whoever asks is in a hurry, so the writer is called, unless the commit is under way.
func (b *batch) Done() <-chan struct{} {
	select {
	case <-b.done:
	case <-b.sealed:
	default:
		b.bell.ask(crowd{visits: 1})
	}
	return b.done
}

// Err implements relay.Record.
func (b *batch) Err() error { return b.err }

// conclude tells whoever waits for the batch, once. A batch of ack = "written" is told after its write, and a failure of its
// sync comes too late to change that.
func (b *batch) conclude(err error) {
	if !b.concluded {
		b.concluded, b.err = true, err
		close(b.done)
	}
}
