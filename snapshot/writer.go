package snapshot

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"time"

	"github.com/millrace/millrace/snapshot/format"
)

const (
	// pulseInterval is how often the writer looks after what nobody asks for: a disk that has healed, a directory that
	// has gone, an fsync that is due.
	pulseInterval = time.Second
	// maxUnsynced is how many bytes may be written and not synced when nobody waits for the sync.
	maxUnsynced = 32 << 20
	// maxBuffer is the largest commit buffer that is kept for the next commit.
	maxBuffer = 8 << 20
)

// errGone is returned when the journal was deleted under the running daemon. Only a new start can help.
var errGone = errors.New("the journal's files were deleted under the running daemon")

// errMoved ends the waiting for a commit whose marks have gone into another one.
var errMoved = errors.New("the journal goes on in another segment")

// writer is what only the writer goroutine touches.
type writer struct {
	unsynced []*batch // written, not yet synced
	bytes    int64    // of them
	synced   time.Time
	spare    []byte // buffer of a batch that was written
}

// keep notes that b is written and not synced.
func (w *writer) keep(b *batch) {
	if len(w.unsynced) == 0 && w.synced.IsZero() {
		w.synced = time.Now()
	}
	w.unsynced = append(w.unsynced, b)
	w.bytes += int64(len(b.buf))
	if cap(b.buf) <= maxBuffer {
		w.spare = b.buf
	}
	b.buf = nil
}

// clear returns what was unsynced and forgets it.
func (w *writer) clear() []*batch {
	u := w.unsynced
	w.unsynced, w.bytes, w.synced = nil, 0, time.Now()
	return u
}

// buffer gives a buffer to reuse, or nil.
func (w *writer) buffer() []byte {
	b := w.spare
	w.spare = nil
	return b
}

// commitLoop is the writer goroutine. Commits gather while it waits for the disk: the slower the disk, the larger they
// are. It ends when Close closes quit.
func (a *Agent) commitLoop() {
	defer close(a.writerDone)
	pulse := time.NewTicker(min(pulseInterval, a.cfg.Journal.SyncInterval))
	defer pulse.Stop()
	for {
		select {
		case <-a.wake:
			a.commit(false)
		case <-a.timer.C:
			a.commit(false)
		case <-pulse.C:
			a.pulse()
		case reply := <-a.flushes:
			reply <- a.flush()
		case <-a.quit:
			a.retireWriter()
			return
		}
	}
}

// flush makes everything durable. What a first failure left in RAM goes into the segment that takes its place.
func (a *Agent) flush() error {
	err := a.commit(true)
	if err != nil {
		err = a.commit(true)
	}
	return err
}

// commit writes what has gathered and syncs it if it is due, or if force is set.
func (a *Agent) commit(force bool) error {
	b := a.seal()
	if b != nil {
		if err := a.ready(b); err != nil {
			return a.fail(b, err)
		}
		if err := a.put(b); err != nil {
			a.seg.broken = true
			return a.fail(b, err)
		}
	}
	if force || a.syncDue() {
		if err := a.sync(); err != nil {
			return a.fail(nil, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.blocked
}

// seal closes the current batch and begins the next, in the next segment when this one is full. It returns nil when
// there is nothing to write or nowhere to write it.
func (a *Agent) seal() *batch {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = false
	b := a.cur
	if b.empty() || a.seg.broken {
		return nil
	}
	b.seal()
	next := b.seg
	full := b.end() > a.cfg.Journal.SegmentBytes-a.cfg.Journal.reserve() || b.seg.total > format.MaxPosition/2
	if full && a.blocked == nil {
		next = a.newSegment()
	}
	a.cur = newBatch(next, a.writer.buffer(), a.wake)
	return b
}

// newSegment makes the next segment, not yet on the disk. A number is never used twice, also not that of a segment that
// never came to the disk: marks may name it. The mutex is held, or nobody else is there.
func (a *Agent) newSegment() *segment {
	a.newest++
	var salt [8]byte
	rand.Read(salt[:])
	h := format.Header{
		Magic: format.SegmentMagic, Version: format.Version, Number: a.newest, Epoch: a.epoch,
		Salt: binary.BigEndian.Uint64(salt[:]), Created: time.Now(),
	}
	return &segment{number: a.newest, head: h, end: format.BlockSize, bodies: make(map[[32]byte]uint32)}
}

// ready sees to it that b can be written: its segment is there and has room.
func (a *Agent) ready(b *batch) error {
	if b.seg != a.seg {
		if err := a.advance(b.seg); err != nil {
			return err
		}
	}
	s := b.seg
	if b.end() <= s.allocated {
		return nil
	}
	// Asked for before anything is written, a full disk leaves no half of a commit behind.
	err := s.file.Allocate(b.end())
	if errors.Is(err, errors.ErrUnsupported) {
		s.allocated, err = math.MaxInt64, nil
	}
	if err == nil {
		s.allocated = max(s.allocated, b.end())
	}
	return err
}

// advance makes next the segment that is written to.
func (a *Agent) advance(next *segment) error {
	old := a.seg
	if !old.broken {
		if err := a.sync(); err != nil {
			return err
		}
	}
	before := old.head
	before.PrevEnd = uint64(old.durable)
	if err := a.create(next, before, a.cfg.Journal.SegmentBytes); err != nil {
		return err
	}
	a.mu.Lock()
	a.segs[next.number], a.seg = next, next
	old.bodies, old.limit, old.sure = nil, before.PrevEnd, before.PrevEnd
	a.mu.Unlock()
	a.closeSegment(old, next.number)
	return nil
}

// create puts s on the disk, whole or not at all: its name appears when its format.Header is durable. before is the format.Header of
// the segment before, with prevEnd where that one ends, or 0 if it was not written by this start. Of the sizes to reserve
// it takes the first for which there is room.
func (a *Agent) create(s *segment, before format.Header, sizes ...int64) (err error) {
	s.head.Prev, s.head.PrevEnd = before.Number, before.PrevEnd
	name, tmp := segmentName(s.number), numbered(journalDir, s.number, temporaryExt)
	f, err := a.fs.Create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			a.fs.Remove(tmp)
			a.fs.Remove(name)
		}
	}()
	for _, size := range sizes {
		// What a reservation that failed has got, it keeps.
		if err = f.Truncate(0); err != nil {
			return err
		}
		if s.allocated, err = size, f.Allocate(size); !isFull(err) {
			break
		}
	}
	if errors.Is(err, errors.ErrUnsupported) {
		s.allocated, err = math.MaxInt64, nil
	}
	if err == nil {
		_, err = f.WriteAt(s.head.Block(), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = a.fs.Rename(tmp, name)
	}
	if err == nil {
		err = a.fs.SyncDir(journalDir)
	}
	s.file, s.written, s.durable = f, format.BlockSize, format.BlockSize
	return err
}

// closeSegment lets go of a segment that is full: what was reserved and not used is given back, and its successor is
// named in it, so that a deleted successor is missed. Everything in it is durable already, so a failure costs nothing.
func (a *Agent) closeSegment(s *segment, successor uint64) {
	if s.file == nil {
		return
	}
	defer s.file.Close()
	if s.broken {
		return
	}
	if err := s.finish(successor); err != nil {
		a.log.Warn("closing a full segment", "file", segmentName(s.number), "error", err)
	}
}

func (s *segment) finish(successor uint64) error {
	if err := s.file.Truncate(s.written); err != nil {
		return err
	}
	if successor > 0 {
		if _, err := s.file.WriteAt(format.EncodeSuccessor(successor), format.SuccessorAt); err != nil {
			return err
		}
	}
	return s.file.Sync()
}

// linkOld names the successor in a segment of an earlier start.
func (a *Agent) linkOld(number, successor uint64) {
	f, err := a.fs.Open(segmentName(number))
	if err == nil {
		if _, err = f.WriteAt(format.EncodeSuccessor(successor), format.SuccessorAt); err == nil {
			err = f.Sync()
		}
		f.Close()
	}
	if err != nil {
		a.log.Warn("naming the successor of a segment", "file", segmentName(number), "error", err)
	}
}

// put writes b. Whoever waits for the write only is told.
func (a *Agent) put(b *batch) error {
	s := b.seg
	b.head(s.durable, time.Now())
	if _, err := s.file.WriteAt(b.buf, b.start); err != nil {
		return err
	}
	s.written = b.end()
	a.mute.Store(nil)
	a.count.commits.Add(1)
	a.count.bytes.Add(int64(len(b.buf)))
	a.writer.keep(b)
	if a.cfg.Ack != AckJournal {
		a.answer(b)
	}
	return nil
}

// answer tells the doors of b that their messages are taken.
func (a *Agent) answer(b *batch) {
	a.mu.Lock()
	rcpts := 0
	for _, e := range b.takes {
		e.acked = true
		rcpts += len(e.msg.Rcpts)
	}
	a.mu.Unlock()
	a.count.takes.Add(int64(len(b.takes)))
	a.count.rcpts.Add(int64(rcpts))
	b.finish(nil)
}

// syncDue reports whether what was written must be synced now.
func (a *Agent) syncDue() bool {
	w := &a.writer
	if len(w.unsynced) == 0 {
		return false
	}
	switch since := time.Since(w.synced); a.cfg.Ack {
	case AckWritten:
		return since >= a.cfg.Journal.SyncInterval || w.bytes > maxUnsynced
	case AckMemory:
		return since >= a.cfg.Snapshot.Interval || w.bytes > maxUnsynced
	}
	return true
}

// sync makes what was written durable and tells who waits for it. A segment whose sync failed is broken for good.
func (a *Agent) sync() error {
	w := &a.writer
	if len(w.unsynced) == 0 {
		return nil
	}
	if err := a.seg.file.Sync(); err != nil {
		a.seg.broken = true
		return err
	}
	a.count.syncs.Add(1)
	a.seg.durable = a.seg.written
	for _, b := range w.unsynced {
		if a.cfg.Ack == AckJournal {
			a.answer(b)
		}
		a.settleCopies(b)
	}
	w.clear()
	return nil
}

// pulse looks after what nobody asks for.
func (a *Agent) pulse() {
	a.checkFile()
	a.mu.Lock()
	blocked := a.blocked
	a.mu.Unlock()
	switch {
	case blocked != nil:
		a.heal()
		if a.Blocked() != nil {
			a.commit(false) // there may be room for marks, if for nothing else
		}
	case a.syncDue():
		a.commit(false)
	}
}

// checkFile notices that the journal was deleted: what is written then goes to a file without a name.
func (a *Agent) checkFile() {
	f, err := a.fs.OpenRead(segmentName(a.seg.number))
	switch {
	case err == nil:
		f.Close()
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(a.Blocked(), errGone):
		a.seg.broken = true
		a.fail(nil, errGone)
	}
}

// retireWriter closes the last segment at the end.
func (a *Agent) retireWriter() {
	if len(a.writer.unsynced) == 0 {
		a.closeSegment(a.seg, 0)
	} else {
		a.seg.file.Close()
	}
}
