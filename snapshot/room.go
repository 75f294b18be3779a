package snapshot

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/millrace/millrace/snapshot/format"
)

// smallestRoom is the least that is reserved for outcomes in a segment that takes no mail: some thousand outcomes.
const smallestRoom = 64 << 10

// takingSizes are the sizes of a segment that takes mail, the best first: a disk that is nearly full gets a smaller one. The
// room for outcomes is the same in each, because outcomes are of all mail that waits and not of the mail of one segment.
func (c JournalConfig) takingSizes() []int64 {
	sizes := []int64{c.SegmentBytes}
	for _, size := range []int64{c.SegmentBytes / 2, c.SegmentBytes / 4} {
		if size >= format.BlockSize+2*c.reserve() {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

// outcomeSizes are the sizes of a segment that takes no mail and records the outcomes of what waits, the best first. Each
// holds at least need bytes.
func (c JournalConfig) outcomeSizes(need int64) []int64 {
	var sizes []int64
	for room := c.reserve(); room >= min(smallestRoom, c.reserve()) && room >= need; room /= 2 {
		sizes = append(sizes, format.BlockSize+room)
	}
	return sizes
}

// allocate reserves the space of f from have, which is reserved, to size. A reservation that fails keeps the space it has
// got, on ext4 all that the disk had left: that is given back, or nothing else would find any. A disk that has too little
// is not asked at all, so that nobody else meets a full disk meanwhile.
func allocate(fs FileSystem, f File, have, size int64) error {
	if free, err := fs.Free(); err == nil && free < size-have {
		return syscall.ENOSPC
	}
	err := f.Allocate(size)
	if isFull(err) {
		err = errors.Join(err, f.Truncate(have))
	}
	return err
}

// reserve reserves the first of sizes for which there is room in f, which is empty, and returns it.
func (t *tape) reserve(f File, sizes []int64) (size int64, err error) {
	for _, size = range sizes {
		if err = allocate(t.fs, f, 0, size); !isFull(err) {
			break
		}
	}
	return size, t.explainFull(sizes[0], err)
}

// explainFull says of a disk without room for size bytes how much is missing and which key asks for less. Any other error it
// returns as it is.
func (t *tape) explainFull(size int64, err error) error {
	if !isFull(err) {
		return err
	}
	missing := "the quota of the daemon's user has no room for them"
	if free, ferr := t.fs.Free(); ferr != nil {
		missing = "the disk has no room for them"
	} else if free < size {
		missing = fmt.Sprintf("%d are free, %d are missing", free, size-free)
	}
	return fmt.Errorf("the journal needs %d bytes of the disk and %s; make room, or set journal.segment_bytes lower: %w", size, missing, err)
}

// takesMail reports whether s has room for mail, and not for outcomes only. The writer goroutine asks, and Open before it runs.
func (t *tape) takesMail(s *segment) bool {
	sizes := t.cfg.Journal.takingSizes()
	return s.allocated >= sizes[len(sizes)-1]
}

// extend reserves what b needs beyond the reserved space of its segment. Asked for before anything is written, a full disk
// leaves no half of a commit behind; what a failed reservation got is given back.
func (t *tape) extend(b *batch) error {
	s, end := b.seg, b.endsAt()
	err := allocate(t.fs, s.file, max(s.allocated, s.written), end)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		s.allocated, err = unlimited, nil
	case isFull(err):
		err = t.explainFull(end-s.allocated, withNameNow(s, err))
	case err == nil:
		s.allocated = max(s.allocated, end)
	}
	return err
}
