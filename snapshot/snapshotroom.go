package snapshot

import (
	"errors"

	"github.com/millrace/millrace/snapshot/format"
)

const (
	// vectorShare is how many bytes of a segment cost one byte of its vector: a bit for each recipient, whose record takes
	// some thirty bytes.
	vectorShare = 256
	// aheadSegments is how many segments may be begun between two snapshots and still find room for their vectors.
	aheadSegments = 16
	// otherRoom is for nodes in doubt.
	otherRoom = 16 << 10
)

// snapshotRoom is the file of the next snapshot, made ahead. Deleting the segments that are done needs a snapshot that says
// so, and on a full disk nothing else would ever make room for one. The space holds a bare snapshot at least. A crash leaves
// the file under its temporary name, and the next start removes it like any file that was never finished: the start itself
// then has that space.
type snapshotRoom struct {
	file       File
	generation uint64
	size       int64
}

// keepRoom makes room for the next snapshot, if there is none: at first no more than a bare one needs, because on a disk
// that is nearly full the segment needs room as well. Without success the snapshot has to do with what the disk has left
// then, so an error is worth no more than a debug line.
func (k *keeper) keepRoom() {
	if k.room.file != nil {
		return
	}
	n, size := k.generation+1, k.book.vectorRoom()
	tmp := numbered(snapshotDir, n, temporaryExt)
	f, err := k.fs.Create(tmp)
	if err == nil {
		if err = allocate(k.fs, f, 0, size); err == nil || errors.Is(err, errors.ErrUnsupported) {
			k.room = snapshotRoom{f, n, size}
			return
		}
		f.Close()
		k.fs.Remove(tmp)
	}
	k.log.Debug("no room could be kept for the next snapshot", "bytes", size, "error", err)
}

// widenRoom adds what the segments that begin until the next snapshot may need.
func (k *keeper) widenRoom() {
	more := otherRoom + aheadSegments*k.cfg.Journal.SegmentBytes/vectorShare
	if k.room.file != nil && allocate(k.fs, k.room.file, k.room.size, k.room.size+more) == nil {
		k.room.size += more
	}
}

// takeRoom returns the file for snapshot n and the space reserved in it. It is used once.
func (k *keeper) takeRoom(n uint64) (snapshotRoom, error) {
	r := k.room
	k.room = snapshotRoom{}
	if r.file != nil && r.generation == n {
		return r, nil
	}
	if r.file != nil {
		r.file.Close()
		k.fs.Remove(numbered(snapshotDir, r.generation, temporaryExt))
	}
	f, err := k.fs.Create(numbered(snapshotDir, n, temporaryExt))
	return snapshotRoom{file: f, generation: n}, err
}

// vectorRoom is what a bare snapshot needs: one that leaves out what nodes have learned. Without that a restart visits some
// nodes too early, and loses nothing.
func (l *ledger) vectorRoom() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(2 * format.BlockSize)
	for _, s := range l.segs {
		n += int64(s.total/8) + 64
	}
	return n
}
