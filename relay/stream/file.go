package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// gatherTime is how long records gather before they are written: whoever follows the file sees them at once, and a busy file
	// costs ten writes a second.
	gatherTime = 100 * time.Millisecond
	// retryTime is until a file that could not be written to is tried again.
	retryTime = time.Second
	// countEvery is how many records a file has between two records of the totals, and countTime how long it may have none. A start
	// reads the file from the last one on.
	countEvery = 1000
	countTime  = time.Minute
	// fileMode keeps other users out: the file has every recipient's address. The group may read it, as the mail log.
	fileMode = 0o640
)

// disk is the part of an *os.File that a file is written with; tests put one that is full in its place.
type disk interface {
	io.WriteCloser
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
}

// file is an [[events.file]]: JSON lines. It reads the ring at its own pace, and what the ring has lost before it was written is
// told by a record. Writing is all or nothing: a record that is torn by a full disk is cut off again.
type file struct {
	cfg    FileConfig
	stream *Stream
	set    kindSet
	native bool // its records have positions
	counts bool // it has all records, and totals between them
	open   func(path string) (disk, os.FileInfo, error)
	output output

	rotated chan struct{} // holds a token when there is something to compress

	plain atomic.Bool // it is a file, and no pipe or device

	mu    sync.Mutex // held while writing
	disk  disk       // nil: it could not be opened
	size  int64
	first uint64    // position of the first record in it; 0: it is empty
	began time.Time // when its first record was written
	torn  bool      // it ends within a line
	at    cursor
	retry time.Time // not tried before

	owesTotals bool    // before the next record
	recovery   *Totals // what a crash has changed, to be told before that
	since      int     // records since the last totals
	counted    time.Time
	batch      batch
	out        []byte

	found found // what it ended with at the start
}

// openFile opens a file to append to, and mends its end. A disk that is full or sick now may be well later, and is no error.
func openFile(s *Stream, cfg FileConfig) (*file, error) {
	set, err := newKindSet(cfg.Kinds)
	if err != nil {
		return nil, fmt.Errorf("events.file: kinds: %w", err)
	}
	f := &file{
		cfg: cfg, stream: s, set: set, native: cfg.Format == FormatMillrace, open: openDisk, rotated: make(chan struct{}, 1),
	}
	f.counts = f.native && set == 0
	f.owesTotals = f.counts
	f.rotated <- struct{}{} // what the last process could not compress
	err = f.connect()
	if err != nil && !passes(err) {
		return nil, fmt.Errorf("events.file: %w", err)
	}
	if f.native && f.plain.Load() {
		f.found = f.survey()
		f.first, f.began = f.found.first, f.found.began
	}
	return f, nil
}

// passes reports whether an error may be over without anybody's work on the configuration.
func passes(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENXIO} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// openDisk opens the file to append to and to read its end, and a pipe without waiting for its reader.
func openDisk(path string) (disk, os.FileInfo, error) {
	flags := os.O_APPEND | os.O_RDWR | os.O_CREATE
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		flags = os.O_WRONLY | syscall.O_NONBLOCK
	}
	f, err := os.OpenFile(path, flags|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrExist) || flags&os.O_CREATE == 0 {
		f, err = os.OpenFile(path, flags, fileMode)
	} else if err == nil {
		_ = f.Chmod(fileMode) // a file system without modes is no reason not to write
	}
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, st, nil
}

// connect opens the file and cuts off a line that the last process could not complete.
func (f *file) connect() error {
	d, st, err := f.open(f.cfg.Path)
	if err != nil {
		return err
	}
	f.disk, f.size, f.torn = d, st.Size(), false
	f.plain.Store(st.Mode().IsRegular())
	if r, ok := d.(io.ReaderAt); ok && f.plain.Load() {
		f.mend(r)
	}
	return nil
}

// begin says from where the file is written, and what the totals at that place are. compare says that they are the journal's.
func (f *file) begin(at cursor, compare bool) {
	f.at = at
	f.output.next.Store(at.next)
	if diff := at.totals.minus(f.found.totals); compare && f.counts && f.found.known && diff != (Totals{}) {
		f.recovery = &diff
	}
	f.counted = f.stream.deps.now()
}

// run writes until ctx is done.
func (f *file) run(ctx context.Context) {
	for {
		f.drain(true)
		f.mu.Lock()
		at := f.at
		f.mu.Unlock()
		if !f.stream.wait(ctx, &at, countTime) {
			return
		}
		select {
		case <-time.After(gatherTime):
		case <-ctx.Done():
			return
		}
	}
}

// drain writes all that the ring has. mayRotate says that the file may be changed for the next one.
func (f *file) drain(mayRotate bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.drainLocked(mayRotate)
}

// flush is drain for the journal: see Stream.Flush. A pipe is passed over before the mutex is asked for: a write to one whose reader is
// stuck holds it for a second.
func (f *file) flush() error {
	if !f.plain.Load() {
		return nil
	}
	return f.drain(false) // behind a write under way, which may have begun before the last record
}

func (f *file) drainLocked(mayRotate bool) error {
	if f.stream.deps.now().Before(f.retry) {
		return nil
	}
	_, end := f.stream.ring.reach()
	for {
		if mayRotate && f.isFull() {
			f.rotate()
		}
		more, err := f.write()
		if err != nil {
			f.retry = f.stream.deps.now().Add(retryTime)
			if f.output.failed(err) {
				f.stream.log.Error("events cannot be written; mail is not concerned", "file", f.cfg.Path, "error", err)
			}
			return err
		}
		if !more || f.at.next >= end {
			return nil
		}
	}
}

// write writes one batch, and reports whether there may be more. The mutex is held.
func (f *file) write() (more bool, err error) {
	before, since, counted := f.at, f.since, f.counted
	f.batch.reset()
	missed := f.stream.ring.catchUp(&f.at)
	start := f.at
	f.stream.ring.read(&f.at, &f.batch)
	f.out = f.compose(f.out[:0], before, start, missed)
	if len(f.out) > 0 {
		if err := f.put(f.out); err != nil {
			f.at, f.since, f.counted = before, since, counted
			return false, err
		}
		f.settle(missed)
	}
	f.output.next.Store(f.at.next)
	return len(f.batch.records) > 0, nil
}

// settle notes that a batch is written.
func (f *file) settle(missed uint64) {
	f.recovery, f.owesTotals = nil, false
	f.output.written.Add(uint64(len(f.batch.records)))
	if f.output.worked() {
		f.stream.log.Info("events are written again", "file", f.cfg.Path)
	}
	if missed > 0 {
		f.output.missed.Add(missed)
		f.stream.log.Warn("events: "+missedText(missed), "file", f.cfg.Path)
	}
	if f.first == 0 && len(f.batch.records) > 0 {
		f.first, f.began = f.batch.records[0].position, f.stream.deps.now()
	}
}

// compose appends the lines of a batch: what was missed, the totals when it is their time, and the records. before and start are
// the places in front of what was missed, and behind it.
func (f *file) compose(out []byte, before, start cursor, missed uint64) []byte {
	if !f.native {
		return appendBatch(out, &f.batch, f.set, FormatKumoMTA, f.stream.deps.Hostname)
	}
	now := f.stream.deps.now()
	if f.recovery != nil {
		out = appendTotals(out, Recovery, start.next-1-missed, now, *f.recovery)
	}
	if missed > 0 {
		out = appendGap(out, now, before.next, start.next-1, missed)
	}
	if f.counts && (f.recovery != nil || missed > 0 || f.owesTotals) {
		out = f.appendCounts(out, start, now)
	}
	out = appendBatch(out, &f.batch, f.set, FormatMillrace, "")
	if f.counts {
		f.since += len(f.batch.records)
	}
	if f.since >= countEvery || f.since > 0 && now.Sub(f.counted) >= countTime {
		out = f.appendCounts(out, f.at, now)
	}
	return out
}

func (f *file) appendCounts(out []byte, at cursor, now time.Time) []byte {
	f.since, f.counted = 0, now
	return appendTotals(out, Counts, at.next-1, now, at.totals)
}

// put writes all of b, or nothing: what a full disk has taken of it is cut off again. The mutex is held.
func (f *file) put(b []byte) error {
	if f.disk == nil {
		if err := f.connect(); err != nil {
			return err
		}
	}
	if d, ok := f.disk.(interface{ SetWriteDeadline(time.Time) error }); ok && !f.plain.Load() {
		_ = d.SetWriteDeadline(time.Now().Add(10 * gatherTime)) // a pipe whose reader is stuck must not hold up the stop
	}
	if f.torn {
		if _, err := f.disk.Write([]byte{'\n'}); err != nil {
			return err
		}
		f.torn = false
		f.size++
	}
	n, err := f.disk.Write(b)
	if err == nil {
		f.size += int64(n)
		return nil
	}
	if n > 0 && !f.cutOff(int64(n)) {
		f.torn = true
	}
	return err
}

// cutOff takes back the last n bytes, and reports whether it could. It asks the file how long it is: log rotation may have cut it.
func (f *file) cutOff(n int64) bool {
	if !f.plain.Load() {
		return false
	}
	st, err := f.disk.Stat()
	return err == nil && st.Size() >= n && f.disk.Truncate(st.Size()-n) == nil
}

// reopen opens the file anew, after log rotation renamed it, or copied and emptied it. It finds the same file, no shorter, when the
// rotation was that of another log: then the file goes on as it is, or its readers would miss what stands in it, and it would never grow
// old.
func (f *file) reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, size := f.disk, f.size
	if err := f.connect(); err != nil {
		return fmt.Errorf("events.file: %w", err)
	}
	f.retry = time.Time{}
	if old == nil || !isSame(old, f.disk) || f.size < size {
		f.first, f.began, f.owesTotals = 0, time.Time{}, f.counts
	}
	if old == nil {
		return nil
	}
	return old.Close()
}

// isSame reports whether two descriptors are of one file.
func isSame(a, b disk) bool {
	x, err := a.Stat()
	y, err2 := b.Stat()
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// close writes what is left, and the totals, so that the next start has them at hand.
func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream.ring == nil || f.disk == nil {
		return nil
	}
	f.retry = time.Time{}
	err := f.drainLocked(false)
	if err == nil && f.since > 0 {
		err = f.put(f.appendCounts(f.out[:0], f.at, f.stream.deps.now()))
	}
	err = errors.Join(err, f.disk.Close())
	f.disk = nil
	return err
}
