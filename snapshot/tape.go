package snapshot

import (
	"errors"
	"io/fs"
	"math"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/snapshot/format"
)

const (
	// maxUnsynced is how many bytes may be written and not synced while nobody waits for the sync.
	maxUnsynced = 32 << 20
	// maxBuffer is the largest commit buffer that is kept for the next commit.
	maxBuffer = 8 << 20
	// unlimited is the reserved space of a segment on a file system that cannot reserve any.
	unlimited = math.MaxInt64
)

// tape is the end of the journal as files: the active segment's file, and what was written to it and not yet synced. Only
// the writer goroutine touches it, and Open before that goroutine runs, so it has no lock. It knows nothing of why it is
// asked to write; after an error its caller decides what is lost.
type tape struct {
	fs    FileSystem
	cfg   *Config
	log   hclog.Logger
	book  *ledger
	count *counts

	seg      *segment // the active segment
	unsynced []*batch // written, not yet synced
	bytes    int64    // of them
	synced   time.Time
	spare    []byte        // buffer of a commit that was written, for the next one
	totals   format.Totals // what was written counts
}

// prepare sees to it that b can be written: its segment is there and has room. A commit can be larger than what is left of the
// reserved space, because a segment counts as full only when a commit has ended beyond its size.
func (t *tape) prepare(b *batch) error {
	if b.seg != t.seg {
		if err := t.advance(b.seg, t.cfg.Journal.takingSizes()); err != nil {
			return err
		}
	}
	if b.endsAt() <= b.seg.allocated {
		return nil
	}
	return t.extend(b)
}

// advance makes next the active segment, of the first of sizes for which there is room. All of the segment before is durable
// first, but for what a broken one has lost.
func (t *tape) advance(next *segment, sizes []int64) error {
	old := t.seg
	if !old.broken {
		if err := t.sync(); err != nil {
			return err
		}
	}
	before := old.head
	before.PrevEnd = uint64(old.durable)
	if err := t.create(next, before, sizes); err != nil {
		return err
	}
	t.book.activate(next, before.PrevEnd)
	t.seg = next
	t.retire(old, next.number)
	return nil
}

// create puts s on the disk, whole or not at all: its name appears when its header is durable, so no segment is ever without
// one. before is the header of the segment before, with PrevEnd where that one ends, or 0 if this start did not write it. Of
// the sizes to reserve it takes the first for which there is room.
func (t *tape) create(s *segment, before format.Header, sizes []int64) (err error) {
	s.head.Prev, s.head.PrevEnd = before.Number, before.PrevEnd
	name, tmp := segmentName(s.number), numbered(journalDir, s.number, temporaryExt)
	f, err := t.fs.Create(tmp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			t.fs.Remove(tmp)
			t.fs.Remove(name)
		}
	}()
	if s.allocated, err = t.reserve(f, sizes); errors.Is(err, errors.ErrUnsupported) {
		s.allocated, err = unlimited, nil
	}
	if err == nil {
		_, err = f.WriteAt(s.head.Block(), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = t.fs.Rename(tmp, name)
	}
	if err == nil {
		err = t.fs.SyncDir(journalDir)
	}
	s.file, s.written, s.durable = f, format.BlockSize, format.BlockSize
	return err
}

// writeBatch writes b, in one call. It tells whoever waits for the write only. A write that succeeded shows that outcomes can be
// recorded again. After a write that failed nobody knows which part of it is in the file, so the segment is broken.
func (t *tape) writeBatch(b *batch) error {
	s := b.seg
	b.fillHead(s.durable, time.Now(), &t.totals)
	if _, err := s.file.WriteAt(b.buf, b.start); err != nil {
		s.broken = true
		return err
	}
	s.written, t.totals = b.endsAt(), b.after()
	t.book.unwritable.Store(nil)
	t.count.commits.Add(1)
	t.count.bytes.Add(int64(len(b.buf)))
	t.hold(b)
	if t.cfg.Ack != AckJournal {
		t.book.answer(b)
	}
	return nil
}

// hold notes that b is written and not synced, and takes its buffer for the next commit.
func (t *tape) hold(b *batch) {
	if len(t.unsynced) == 0 && t.synced.IsZero() {
		t.synced = time.Now()
	}
	t.unsynced = append(t.unsynced, b)
	t.bytes += int64(len(b.buf))
	if cap(b.buf) <= maxBuffer {
		t.spare = b.buf
	}
	b.buf = nil
}

// letGo returns what was not synced and forgets it.
func (t *tape) letGo() []*batch {
	u := t.unsynced
	t.unsynced, t.bytes, t.synced = nil, 0, time.Now()
	return u
}

// uncount takes back what commits count that were written and are lost.
func (t *tape) uncount(lost []*batch) {
	if len(lost) > 0 {
		t.totals = lost[0].before
	}
}

// syncDue reports whether what was written must be synced now. With ack = "journal" somebody always waits for it; with the other
// two, time and bytes bound what a power cut can lose.
func (t *tape) syncDue() bool {
	if len(t.unsynced) == 0 {
		return false
	}
	switch since := time.Since(t.synced); t.cfg.Ack {
	case AckWritten:
		return since >= t.cfg.Journal.SyncInterval || t.bytes > maxUnsynced
	case AckMemory:
		return since >= t.cfg.Snapshot.Interval || t.bytes > maxUnsynced
	}
	return true
}

// sync makes what was written durable and tells who waits for it. A segment whose sync failed is broken for good: the
// kernel may have dropped the pages it could not write, and a second fsync would report success for bytes that are lost.
func (t *tape) sync() error {
	if len(t.unsynced) == 0 {
		return nil
	}
	begin := time.Now()
	if err := t.seg.file.Sync(); err != nil {
		t.seg.broken = true
		return err
	}
	t.count.syncs.Add(1)
	t.book.bell.gather.synced(time.Since(begin))
	t.seg.durable = t.seg.written
	for _, b := range t.unsynced {
		if t.cfg.Ack == AckJournal {
			t.book.answer(b)
		}
		t.book.confirmCopies(b)
	}
	t.letGo()
	return nil
}

// deleted reports whether the active segment's name is gone: what is written then goes to a file without a name. Any other
// error of the look is left to the next write.
func (t *tape) deleted() bool {
	f, err := t.fs.OpenRead(segmentName(t.seg.number))
	if err == nil {
		f.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
}

// retire lets go of a full segment: it gives back what was reserved and not used, and names the successor in it, so that a
// deleted successor is missed. Everything in it is durable already, so a failure costs nothing but that.
func (t *tape) retire(s *segment, successor uint64) {
	if s.file == nil {
		return
	}
	defer s.file.Close()
	if s.broken {
		return
	}
	if err := finishFile(s, successor); err != nil {
		t.log.Warn("a full segment could not be closed properly", "file", segmentName(s.number), "error", err)
	}
}

// finishFile cuts the file of s to its length and writes the successor's slot, unless that is 0.
func finishFile(s *segment, successor uint64) error {
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

// linkOld names the successor in the last segment of an earlier start, which ended before it could. A failure costs one of the
// three chains that find a missing segment, and no mail.
func (t *tape) linkOld(number, successor uint64) {
	f, err := t.fs.Open(segmentName(number))
	if err == nil {
		if _, err = f.WriteAt(format.EncodeSuccessor(successor), format.SuccessorAt); err == nil {
			err = f.Sync()
		}
		f.Close()
	}
	if err != nil {
		t.log.Warn("a segment could not be told its successor", "file", segmentName(number), "error", err)
	}
}

// stop closes the active segment at the end. One with unsynced bytes, or a broken one, keeps its length: only what was
// synced may be trusted, and the next start finds that out.
func (t *tape) stop() {
	if len(t.unsynced) == 0 {
		t.retire(t.seg, 0)
	} else {
		t.seg.file.Close()
	}
}

// withNameNow makes an error that names the file of s by the name it was made under name the file as it is called now: os.File
// keeps the first name.
func withNameNow(s *segment, err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) || !strings.HasSuffix(p.Path, numbered(journalDir, s.number, temporaryExt)) {
		return err
	}
	return &fs.PathError{Op: p.Op, Path: segmentName(s.number), Err: p.Err}
}
