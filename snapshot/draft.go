package snapshot

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/snapshot/format"
)

// draft is the commit in the making, the segment it will go to, and whether anything can be written at all. It is the lower
// half of the ledger: it knows segments and marks, and no message. Its mutex is the ledger's.
type draft struct {
	cfg   *Config
	bell  *bell
	clock workClock // of the writer
	epoch uint64    // of the next segment; a start may use several
	ids   *ids

	// unwritable is why nothing can be recorded now, not even an outcome; nil: it can. The writer goroutine writes it, and it
	// is read without mu: a handler asks before each visit.
	unwritable atomic.Pointer[error]

	mu      sync.Mutex
	active  *segment // its file is written to
	next    *batch   // the commit in the making; its segment may come after active
	newest  uint64   // highest segment number given out
	blocked error    // why nothing is taken now
	counts  counting
}

// seal closes the commit in the making and begins the next one, in the next segment when this one is full. It returns nil
// when there is nothing to write, or when the active segment is broken. spare is a buffer for the next commit, or nil; it is
// used only when a batch is returned. While no message is taken, marks are sealed all the same: they go into the reserve of the
// active segment.
func (d *draft) seal(spare []byte) *batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bell.heeded()
	b := d.next
	if b.empty() || d.active.broken {
		return nil
	}
	d.counts.appendTo(b, d.blocked != nil)
	b.seal()
	next := b.seg
	full := b.endsAt() > b.seg.fullAt(d.cfg.Journal.SegmentBytes)-d.cfg.Journal.reserve() || b.seg.total > format.MaxPosition/2 || d.ids.low(d.epoch)
	if full && d.blocked == nil {
		next = d.newSegment()
	}
	d.next = newBatch(next, spare, d.bell)
	d.next.rcpts, b.rcpts = b.rcpts, nil
	return b
}

// node is the number of this daemon in a cluster: 0 for one alone.
const node = 0

// newSegment makes the next segment, in RAM only. mu is held, or no other goroutine runs yet. A number is never given out
// twice, even if its segment never came to the disk: marks may name it.
func (d *draft) newSegment() *segment {
	d.newest++
	if d.ids.low(d.epoch) && d.epoch < maxEpoch {
		d.epoch++ // its ids are given out when the header is durable
	}
	h := format.Header{
		Magic: format.SegmentMagic, Version: format.Version, Node: node, Number: d.newest, Epoch: d.epoch, Salt: newSalt(), Created: time.Now(),
	}
	return &segment{number: d.newest, head: h, basis: h.Basis(), end: format.BlockSize, shared: make(map[uint64]sharedAt)}
}

// newSalt returns what makes the checksums of one file unlike those of all others: see format.Header.Seed. Random numbers of
// this kind cannot fail.
func newSalt() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// refusal is why no message is taken now, or nil.
func (d *draft) refusal() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.blocked
}

// overdue is why no message is taken although the journal can be written: the disk does not answer. It needs no lock.
func (d *draft) overdue() error {
	if late := d.clock.overdue(); late > 0 {
		return fmt.Errorf("%w: the disk has not answered for %s", ErrBusy, late.Truncate(time.Second))
	}
	return nil
}

// noteUnwritable notes when not even outcomes can be recorded: the segment is broken, or has no room left for the commit
// that failed, which holds some. Deliveries stop then. mu is held.
func (d *draft) noteUnwritable(failed *batch, err error) {
	if errors.Is(err, errGone) {
		d.unwritable.Store(nil) // see Agent.Unwritable
		return
	}
	full := failed != nil && failed.seg == d.active && len(failed.marks) > 0
	if (d.active.broken || full) && d.cfg.Ack != AckMemory {
		d.unwritable.Store(&err)
	}
}

// retry returns a new segment to go on in after a failure, and false when there was none, or no segment can help. The number
// is used up in each case.
func (d *draft) retry() (*segment, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newSegment(), d.blocked != nil && !errors.Is(d.blocked, errGone)
}
