package snapshot

import (
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
	head   int           // the length of that frame
	marks  []byte        // become a frame when the batch is sealed
	rcpts  []format.Rcpt // for the next take record: one list for all of them
	takes  []*entry
	copies []*entry
	early  []format.Node // whose visit is expected: their mark 3 is here, or was in a commit that is lost
	sealed chan struct{}
	done   chan struct{} // closed when err is known
	err    error
	bell   *bell

	before  format.Totals // what all commits before it count; known when it is written
	owed    format.Totals // what takes counted whose records are lost, and are written in no commit again
	took    format.Totals // what its takes count
	decided format.Totals // what its marks count

	concluded bool // belongs to the writer: done is closed
}

// countEvery is how many commits apart those are that have totals. A start counts from the last one of them on, so that the others save
// 64 bytes: as much as the envelope of a message, which is alone in a commit where mail comes slowly.
const countEvery = 16

// newBatch begins a commit at the end of s. buf is reused when it is not nil: a commit buffer grows to some megabytes.
func newBatch(s *segment, buf []byte, l *bell) *batch {
	b := &batch{seg: s, start: s.end, stamp: s.nextStamp(), buf: buf, bell: l, sealed: make(chan struct{}), done: make(chan struct{})}
	if b.begin(format.BareCommit); b.stamp.Commit%countEvery == 1 {
		b.begin(format.CommitFrame)
	}
	return b
}

// begin leaves room for a commit frame of that length. Nothing else is in b yet.
func (b *batch) begin(head int) {
	b.head, b.buf = head, append(b.buf[:0], make([]byte, head)...)
}

// newFailed returns a batch that is not written, because of err.
func newFailed(err error) *batch {
	b := &batch{done: make(chan struct{})}
	b.conclude(err)
	return b
}

// empty reports whether there is nothing to write. A commit frame alone is not written: the next one says what it would say.
func (b *batch) empty() bool { return len(b.buf) == b.head && len(b.marks) == 0 }

// shared returns the shared record of m in the segment, and writes it there if it is new, with the strings of c. A view is written
// once in each segment and not once for all, so that a segment can be read, and deleted, without another one.
func (b *batch) shared(m *relay.Message, c *format.Common) sharedAt {
	w := m.Content.Wrapper()
	if at, ok := b.seg.shared[w.Serial()]; ok {
		return at
	}
	at := b.seg.share(w.Serial(), c)
	r := format.Shared{Number: at.number, Common: *c, View: w.View()}
	buf, begin := format.BeginFrame(b.buf)
	b.buf = r.Append(buf)
	format.EndFrame(b.buf, begin, format.KindShared, b.stamp)
	return sharedAt{at.number, c}
}

// appendTake writes the record t of m, behind its shared record, and returns where m stands.
func (b *batch) appendTake(m *relay.Message, t *format.TakeRecord) place {
	at := b.shared(m, &t.Common)
	p := b.seg.allot(m.RcptCount())
	t.Shared, t.Base = at.number, p.base
	buf, begin := format.BeginFrame(b.buf)
	b.buf = t.Append(buf, b.seg.basis, at.common)
	format.EndFrame(b.buf, begin, format.KindTake, b.stamp)
	b.rcpts = t.Rcpts[:0]
	if !t.Copied || t.Again {
		b.took.Take(m.RcptCount())
	}
	return p
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

// inherit takes over the marks of a commit that is not written: they are written with b, which has nothing else yet. It has totals,
// because only these know of the takes that lost owes.
func (b *batch) inherit(lost *batch) {
	b.begin(format.CommitFrame)
	b.marks = append(b.marks, lost.marks...)
	b.decided.Add(&lost.decided)
	b.owed.Add(&lost.owed)
	b.early = append(b.early, lost.early...)
}

// fillHead fills in the commit frame: everything before durable is known to be on the disk, and all commits before count so much.
func (b *batch) fillHead(durable int64, now time.Time, before *format.Totals) {
	b.before = *before
	c := format.Commit{Durable: durable, At: now, Totals: *before}
	c.Totals.Add(&b.owed)
	c.Fill(b.buf[:b.head], b.stamp)
}

// after is what all commits up to this one count.
func (b *batch) after() format.Totals {
	n := b.before
	n.Add(&b.owed)
	n.Add(&b.took)
	n.Add(&b.decided)
	return n
}

// endsAt is where the next batch begins.
func (b *batch) endsAt() int64 { return b.start + int64(len(b.buf)) }

// Done implements relay.Record. Whoever asks is in a hurry, so the writer is called, unless the commit is under way.
func (b *batch) Done() <-chan struct{} {
	select {
	case <-b.done:
	case <-b.sealed:
	default:
		if b.bell.ask(crowd{visits: 1}) {
			b.bell.alarm.ring()
		}
	}
	return b.done
}

// failed reports whether the batch was not written, or not synced.
func (b *batch) failed() bool { return b.concludedAs(false) }

// durable reports whether nobody needs to wait for the batch any more.
func (b *batch) durable() bool { return b.concludedAs(true) }

// record is b for whoever must wait for it; nil: nobody need.
func (b *batch) record() relay.Record {
	if b.durable() {
		return nil
	}
	return b
}

// concludedAs reports whether it is known how the batch came out, and whether it was so.
func (b *batch) concludedAs(well bool) bool {
	select {
	case <-b.done:
		return (b.err == nil) == well
	default:
		return false
	}
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
