package snapshot

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/snapshot/format"
)

// maxSnapshot bounds the snapshot file that is read into memory. Ten million waiting nodes are about 1 GB.
const maxSnapshot = 8 << 30

const (
	// snapshotChunk is how much is gathered before it is written and synced. One large sync at the end would hold up the
	// commits of the journal, on ext4 for 20 to 30 ms when it is of 75 MB (go run ./test/bench -what snapshot).
	snapshotChunk = 128 << 10
	// snapshotRest is how long the snapshot writer rests after each chunk, as a multiple of the time the chunk has taken: disk
	// and processors are for mail first.
	snapshotRest = 8
	// maxRest bounds one rest, so that a snapshot on a slow disk comes to an end.
	maxRest = 100 * time.Millisecond
)

// writeSnapshot writes p into the file of r under another name, syncs it, renames it, and syncs the directory. A crash before
// the rename leaves the snapshot before in force. On a full disk p is written without what w has learned, and bare is true.
// When hurry is closed, it does not rest: the daemon is stopping.
func writeSnapshot(fs FileSystem, r snapshotRoom, p *plan, w *waits, hurry <-chan struct{}) (bare bool, err error) {
	name, tmp := numbered(snapshotDir, p.head.Number, snapshotExt), numbered(snapshotDir, p.head.Number, temporaryExt)
	s := newSnapshotWriter(r, p, hurry)
	s.writeAll(p, w)
	if bare = isFull(s.err) && !s.broken; bare {
		s = newSnapshotWriter(r, p, hurry)
		if s.err = r.file.Truncate(r.size); s.err == nil { // gives back what the first try got
			s.writeAll(p, nil)
		}
	}
	if err := r.file.Close(); s.err == nil {
		s.err = err
	}
	if s.err == nil {
		s.err = fs.Rename(tmp, name)
	}
	if s.err == nil {
		return bare, fs.SyncDir(snapshotDir)
	}
	fs.Remove(tmp)
	return bare, fmt.Errorf("%s: %w", name, s.err)
}

// snapshotWriter writes the frames of a snapshot. After the first error it does nothing.
type snapshotWriter struct {
	file   File
	room   int64 // reserved in file
	at     int64
	stamp  format.Stamp
	buf    []byte
	frames uint64
	hurry  <-chan struct{} // closed when there is no time to rest
	since  time.Time       // when the chunk in buf was begun
	err    error
	broken bool // a sync failed: the file is never written to or synced again
}

func newSnapshotWriter(r snapshotRoom, p *plan, hurry <-chan struct{}) *snapshotWriter {
	return &snapshotWriter{
		file: r.file, room: r.size, at: format.BlockSize, stamp: format.Stamp{Seed: p.head.Seed(), Commit: 1}, hurry: hurry, since: time.Now(),
	}
}

// writeAll writes the snapshot, a bare one when w is nil.
func (s *snapshotWriter) writeAll(p *plan, w *waits) {
	s.writePlan(p, w)
	s.writeEnd(&p.head)
}

// writePlan writes everything but the end, without what can be learned again when w is nil. Readers apply the frames in this order: vectors, waits, doubts.
func (s *snapshotWriter) writePlan(p *plan, w *waits) {
	for _, v := range p.vectors {
		s.writeFrame(format.KindVector, v.Append)
	}
	if w != nil {
		for i := range w {
			s.writeFrame(format.KindSoft, func(b []byte) []byte { return w.appendShard(b, i) })
		}
	}
	s.writeFrame(format.KindSoft, func(b []byte) []byte { // after the waits: a mark 2 ends a mark 3
		for _, n := range p.doubts {
			b = format.AppendBegun(b, n)
		}
		for _, id := range p.unheard {
			b = format.AppendUnheard(b, uint64(id))
		}
		return b
	})
	s.writeFrame(format.KindCounters, p.totals.Append)
	if p.counts != nil {
		s.writeFrame(format.KindKept, func(b []byte) []byte { return format.AppendKept(b, keptCounts, p.counts) })
	}
	if w == nil {
		return
	}
	for _, k := range p.keep {
		s.writeFrame(format.KindKept, func(b []byte) []byte { return format.AppendKept(b, k.name, k.save()) })
	}
}

// writeFrame adds one frame, unless its payload is empty.
func (s *snapshotWriter) writeFrame(k format.Kind, payload func([]byte) []byte) {
	if s.err != nil {
		return
	}
	buf, at := format.BeginFrame(s.buf)
	buf = payload(buf)
	if len(buf) == at+format.FrameHead {
		s.buf = buf[:at]
		return
	}
	format.EndFrame(buf, at, k, s.stamp)
	s.buf = buf
	s.frames++
	if len(s.buf) > snapshotChunk {
		s.writeOut()
		s.rest()
	}
}

// rest makes what was written durable and leaves disk and processor to others for a while, unless the daemon stops.
func (s *snapshotWriter) rest() {
	select {
	case <-s.hurry:
		return
	default:
	}
	s.sync()
	rest := time.NewTimer(min(snapshotRest*time.Since(s.since), maxRest))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-s.hurry:
	}
	s.since = time.Now()
}

// writeOut writes what has gathered, and syncs nothing.
func (s *snapshotWriter) writeOut() {
	if s.err == nil && len(s.buf) > 0 {
		_, s.err = s.file.WriteAt(s.buf, s.at)
		s.at += int64(len(s.buf))
		s.buf = s.buf[:0]
	}
}

// writeEnd writes the last frame and the header, and makes the content durable. The header comes last: a file without one is
// refused at once, whatever stands in it.
func (s *snapshotWriter) writeEnd(h *format.Header) {
	n := s.frames
	s.writeFrame(format.KindEnd, func(b []byte) []byte { return format.AppendEnd(b, n) })
	s.writeOut()
	if s.err == nil && s.room > s.at {
		s.err = s.file.Truncate(s.at)
	}
	if s.err == nil {
		_, s.err = s.file.WriteAt(h.Block(), 0)
	}
	s.sync()
}

// sync makes durable what was written.
func (s *snapshotWriter) sync() {
	if s.err == nil {
		s.err = s.file.Sync()
		s.broken = s.err != nil
	}
}

// readSnapshot reads the snapshot called name, whole.
func readSnapshot(fs FileSystem, name string) (*format.Snapshot, error) {
	data, err := readFile(fs, name, nil, maxSnapshot)
	if err != nil {
		return nil, err
	}
	return format.ParseSnapshot(name, data)
}
