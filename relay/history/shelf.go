package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// The files hold addresses: they are the daemon's alone.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// mostReserve is the room that the history leaves on the disk, or a fiftieth of a small one: the journal must go on.
const mostReserve = 256 << 20

var errFull = errors.New("the disk is nearly full")

// shelf is the segments in the directory, the oldest first. The last may be the one that is being written. After an error of a write
// nothing more is written with a shelf: what its entries and texts refer to may not be there. The next one reads the disk again.
type shelf struct {
	cfg  Config
	dir  string
	log  hclog.Logger
	disk disk

	segments []*segment
	last     int // the highest number that was used

	open *segment // being written; nil: none
	file *os.File
	pen  pen

	lower []byte
}

// disk is what tests replace.
type disk struct {
	write func(f *os.File, b []byte, at int64) (int, error)
	space func(dir string) (free, all int64, err error)
}

func realDisk() disk { return disk{write: (*os.File).WriteAt, space: space} }

// load reads what is in the directory.
func (s *shelf) load(now time.Time) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var names []string
	var numbers []int
	for _, e := range entries {
		names = append(names, e.Name())
		if number, ok := numberOf(e.Name()); ok {
			numbers = append(numbers, number)
		}
	}
	s.sweep(names)
	slices.Sort(numbers)
	for i, number := range numbers {
		s.last = number
		if err := s.admit(number, i == len(numbers)-1, now); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes what a crash has left: an index that was not finished, and one without its segment.
func (s *shelf) sweep(names []string) {
	for _, name := range names {
		of, isIndex := strings.CutSuffix(name, indexSuffix)
		if strings.HasSuffix(name, indexSuffix+tempSuffix) || isIndex && !slices.Contains(names, of+segmentSuffix) {
			_ = os.Remove(filepath.Join(s.dir, name)) // one that stays is tried again at the next start
		}
	}
}

// admit reads what is known of one segment without its records, if it has an index. The last one without an index is written on.
func (s *shelf) admit(number int, last bool, now time.Time) error {
	path := filepath.Join(s.dir, segmentName(number))
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	x := &segment{number: number, size: info.Size(), newest: info.ModTime().UnixMilli()}
	if x.size < headerSize {
		s.log.Warn("a segment of the history was not begun when the daemon ended", "file", path)
		return os.Remove(path)
	}
	var b []byte
	if x.base, err = headerOf(path); err == nil && !x.known(s.dir) {
		b, err = x.content(path)
	}
	switch {
	case lasting(err):
		x.closed, x.oldest = err.Error(), x.newest
		s.log.Warn("a segment of the history cannot be read and is left as it is", "file", path, "error", err)
	case err != nil:
		return err
	}
	s.segments = append(s.segments, x)
	if b == nil {
		return nil
	}
	return s.restore(x, path, b, last, now)
}

// lasting reports whether a segment that cannot be read will not be readable at the next try either. The history goes on without it.
func lasting(err error) bool {
	for _, e := range []error{errVersion, errDamaged, syscall.EIO, fs.ErrPermission} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func headerOf(path string) (base, error) {
	f, err := os.Open(path)
	if err != nil {
		return base{}, err
	}
	defer f.Close()
	var h [headerSize]byte
	if _, err := f.ReadAt(h[:], 0); err != nil {
		return base{}, err
	}
	return readHeader(h[:])
}

// known reads the header of the index, if there is one that fits.
func (s *segment) known(dir string) bool {
	f, err := os.Open(filepath.Join(dir, indexName(s.number)))
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false
	}
	x, err := openIndex(f, info.Size())
	if err != nil || x.size != s.size {
		return false
	}
	s.indexed, s.oldest, s.newest = info.Size(), x.oldest, x.newest
	return true
}

// content is all of the file, which no segment of ours is too large for.
func (s *segment) content(path string) ([]byte, error) {
	if s.size > maxSegment {
		return nil, fmt.Errorf("%w: it has %d bytes, and a segment has %d at most", errDamaged, s.size, maxSegment)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err // what was read before the error is not all
	}
	return b, nil
}

// restore scans a segment whose index is missing. If it is the last and not over, it is written on; else it gets its index.
func (s *shelf) restore(x *segment, path string, b []byte, last bool, now time.Time) (err error) {
	known, d := x.scan(b)
	if d.damaged > 0 {
		s.log.Warn("a segment of the history is damaged; the records behind the damage are read", "file", path, "bytes", d.damaged)
	}
	if d.torn > 0 {
		s.log.Warn("the last record of the history was not finished when the daemon ended, and is cut off", "file", path, "bytes", d.torn)
		if err := os.Truncate(path, x.size); err != nil {
			return err
		}
	}
	if !last || s.over(x, now) {
		return x.writeIndex(s.dir)
	}
	// An index that does not fit would have a reader believe that the segment is closed.
	if err := os.Remove(filepath.Join(s.dir, indexName(x.number))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.file, err = os.OpenFile(path, os.O_RDWR, fileMode); err != nil {
		return err
	}
	s.open, s.pen = x, pen{base: x.base, at: x.size, words: known}
	return nil
}

// over reports whether a segment is not written on: it is full, or its time is over. A time that begins in the future has been written
// by a clock that was wrong.
func (s *shelf) over(x *segment, now time.Time) bool {
	age := now.Sub(time.UnixMilli(x.base.time))
	return x.size >= s.cfg.segmentBytes() || age >= s.cfg.period() || age < -s.cfg.period()
}

// room reports whether so many bytes of notes can be written without the end of a segment or the begin of one. Records are shorter than
// notes, nearly always.
func (s *shelf) room(notes int, now time.Time) bool {
	return s.open != nil && s.pen.at+int64(len(s.pen.out)+notes) < s.cfg.segmentBytes() && !s.over(s.open, now)
}

// put appends the record of n to the segment that is being written. It is on the disk when flush has returned.
func (s *shelf) put(n *note) error {
	if s.open != nil && (s.pen.at+int64(len(s.pen.out)) >= s.cfg.segmentBytes() || s.over(s.open, time.UnixMilli(n.time))) {
		if err := s.close(); err != nil {
			return err
		}
	}
	if s.open == nil {
		if err := s.begin(n); err != nil {
			return err
		}
	}
	offset := s.pen.record(n)
	s.open.account(n, offset, &s.lower)
	if len(s.pen.out) >= writeSize {
		return s.flush()
	}
	return nil
}

// writeSize is how many bytes are written at a time, when there are so many.
const writeSize = 1 << 20

// begin makes the next segment, and the directory for the first.
func (s *shelf) begin(n *note) error {
	if err := os.MkdirAll(s.dir, dirMode); err != nil {
		return err
	}
	if err := s.makeRoom(); err != nil {
		return err
	}
	path := filepath.Join(s.dir, segmentName(s.last+1))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	s.last++
	s.file, s.open = f, &segment{number: s.last, base: base{n.time, n.id}, runs: &runs{}}
	s.pen = pen{base: s.open.base, words: newWords(), out: appendHeader(s.pen.out[:0], s.open.base), b: s.pen.b}
	s.segments = append(s.segments, s.open)
	return nil
}

// flush writes the frames that are ready.
func (s *shelf) flush() error {
	if s.open == nil || len(s.pen.out) == 0 {
		return nil
	}
	if _, err := s.disk.write(s.file, s.pen.out, s.pen.at); err != nil {
		return err
	}
	s.pen.at += int64(len(s.pen.out))
	s.open.size = s.pen.at
	s.pen.out = s.pen.out[:0]
	return nil
}

// close ends the segment that is being written.
func (s *shelf) close() error {
	if s.open == nil {
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	if err := s.open.writeIndex(s.dir); err != nil {
		return err
	}
	err := s.file.Close()
	s.open, s.file = nil, nil
	return err
}

// abandon closes the file. The segments can still be looked through: a record that was not written is not there, or does not check.
func (s *shelf) abandon() {
	if s.file != nil {
		_ = s.file.Close() // its last frames are read again by the next shelf
	}
	s.open, s.file = nil, nil
}

// bytes is what all segments take.
func (s *shelf) bytes() (n int64) {
	for _, x := range s.segments {
		n += x.bytes()
	}
	return n
}

// oldest is the time of the first record that can be found; zero: there is none.
func (s *shelf) oldest() time.Time {
	for _, x := range s.segments {
		if x.oldest > 0 && x.closed == "" {
			return time.UnixMilli(x.oldest)
		}
	}
	return time.Time{}
}

// makeRoom removes the oldest segments until there is room for one more: below MaxBytes, and on the disk. On a disk that is nearly full a
// new segment takes the place of the oldest one, so that the history does not grow.
func (s *shelf) makeRoom() error {
	// An index takes about half of what its segment takes.
	for need := 2 * s.cfg.segmentBytes(); len(s.segments) > 0 && s.bytes()+need > s.cfg.MaxBytes; {
		if err := s.drop(0); err != nil {
			return err
		}
	}
	free, all, err := s.disk.space(s.dir)
	if err != nil || free > min(mostReserve, all/50) {
		return nil // a file system that does not say shows itself when it is full
	}
	if len(s.segments) == 0 {
		return errFull
	}
	return s.drop(0)
}

// trim removes the oldest segments until all of them take no more than MaxBytes. The one that is being written stays.
func (s *shelf) trim() error {
	for len(s.segments) > 1 && s.bytes() > s.cfg.MaxBytes {
		if err := s.drop(0); err != nil {
			return err
		}
	}
	return nil
}

// drop removes the i-th segment.
func (s *shelf) drop(i int) error {
	x := s.segments[i]
	s.segments = slices.Delete(s.segments, i, i+1)
	if err := x.remove(s.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// expire removes the segments whose time is over, and closes the one that is being written when its own is.
func (s *shelf) expire(now time.Time) error {
	if s.open != nil && s.over(s.open, now) {
		if err := s.close(); err != nil {
			return err
		}
	}
	// A segment is at least as old as those behind it: a clock that was fast for a while has written times that are too late.
	newest := int64(math.MaxInt64)
	for i := len(s.segments) - 1; i >= 0; i-- {
		x := s.segments[i]
		newest = min(newest, cmp.Or(x.newest, newest))
		if x != s.open && now.Sub(time.UnixMilli(newest)) >= time.Duration(s.cfg.Keep) {
			if err := s.drop(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// clear removes all segments.
func (s *shelf) clear() error {
	if s.file != nil {
		_ = s.file.Close() // it is removed
	}
	s.open, s.file = nil, nil
	for len(s.segments) > 0 {
		if err := s.drop(len(s.segments) - 1); err != nil {
			return err
		}
	}
	return nil
}
