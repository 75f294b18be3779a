package snapshot

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// maxSnapshot bounds the snapshot file that is read into memory.
const maxSnapshot = 8 << 30

const (
	// snapshotChunk is how much is gathered before it is written and synced. One large sync at the end would hold up the
	// commits of the journal, on ext4 for 20 to 30 ms when it is of 75 MB (go run ./test/bench -what snapshot).
	snapshotChunk = 128 << 10
	// snapshotRest is how long the writer rests after each chunk, as a multiple of the time the chunk has taken: disk and
	// processors are for mail first.
	snapshotRest = 8
	// maxRest bounds one rest, so that a snapshot on a slow disk comes to an end.
	maxRest = 100 * time.Millisecond
)

// plan is what a snapshot is to say.
type plan struct {
	head     format.Header
	vectors  []format.Vector
	begun    []format.Node
	unheard  []relay.ID
	counters format.Counters // messages and recipients taken, recipients done, since start
	keep     []part
	finished []uint64 // segments it no longer names
}

// part is another part of the daemon that keeps bytes in the snapshot.
type part struct {
	name string
	save func() []byte
}

// writeSnapshot writes p: under another name, synced, renamed, directory synced. A crash leaves the one before in force.
func (a *Agent) writeSnapshot(p *plan) (err error) {
	var salt [8]byte
	rand.Read(salt[:])
	p.head.Salt = binary.BigEndian.Uint64(salt[:])
	name, tmp := numbered(snapshotDir, p.head.Number, snapshotExt), numbered(snapshotDir, p.head.Number, temporaryExt)
	f, err := a.fs.Create(tmp)
	if err != nil {
		return err
	}
	w := &snapshotWriter{file: f, at: format.BlockSize, stamp: format.Stamp{Seed: p.head.Seed(), Commit: 1}, hurry: a.halt, since: time.Now()}
	w.all(a, p)
	w.finish(&p.head)
	if err := f.Close(); w.err == nil {
		w.err = err
	}
	if w.err == nil {
		w.err = a.fs.Rename(tmp, name)
	}
	if w.err == nil {
		return a.fs.SyncDir(snapshotDir)
	}
	a.fs.Remove(tmp)
	return fmt.Errorf("%s: %w", name, w.err)
}

// snapshotWriter writes the frames of a snapshot. After the first error it does nothing.
type snapshotWriter struct {
	file   file
	at     int64
	stamp  format.Stamp
	buf    []byte
	frames uint64
	hurry  <-chan struct{} // closed when there is no time to rest
	since  time.Time       // when the chunk in buf was begun
	err    error
}

func (w *snapshotWriter) all(a *Agent, p *plan) {
	for _, v := range p.vectors {
		w.frame(format.KindVector, v.Append)
	}
	for i := range softShards {
		w.frame(format.KindSoft, func(b []byte) []byte { return a.soft.appendShard(b, i) })
	}
	w.frame(format.KindSoft, func(b []byte) []byte {
		for _, k := range p.begun {
			b = format.AppendBegun(b, k)
		}
		for _, id := range p.unheard {
			b = format.AppendUnheard(b, uint64(id))
		}
		return b
	})
	w.frame(format.KindCounters, p.counters.Append)
	for _, k := range p.keep {
		w.frame(format.KindKept, func(b []byte) []byte { return format.AppendKept(b, k.name, k.save()) })
	}
}

// frame adds one frame, unless it is empty.
func (w *snapshotWriter) frame(k format.Kind, payload func([]byte) []byte) {
	if w.err != nil {
		return
	}
	buf, at := format.BeginFrame(w.buf)
	buf = payload(buf)
	if len(buf) == at+format.FrameHead {
		w.buf = buf[:at]
		return
	}
	format.EndFrame(buf, at, k, w.stamp)
	w.buf = buf
	w.frames++
	if len(w.buf) > snapshotChunk {
		w.flush()
		w.rest()
	}
}

// rest makes what was written durable and leaves disk and processor to others for a while, unless the daemon stops.
func (w *snapshotWriter) rest() {
	select {
	case <-w.hurry:
		return
	default:
	}
	if w.err == nil {
		w.err = w.file.Sync()
	}
	rest := time.NewTimer(min(snapshotRest*time.Since(w.since), maxRest))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-w.hurry:
	}
	w.since = time.Now()
}

func (w *snapshotWriter) flush() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.file.WriteAt(w.buf, w.at)
		w.at += int64(len(w.buf))
		w.buf = w.buf[:0]
	}
}

// finish writes the end, the format.Header, and makes the content durable.
func (w *snapshotWriter) finish(h *format.Header) {
	n := w.frames
	w.frame(format.KindEnd, func(b []byte) []byte { return format.AppendEnd(b, n) })
	w.flush()
	if w.err == nil {
		_, w.err = w.file.WriteAt(h.Block(), 0)
	}
	if w.err == nil {
		w.err = w.file.Sync()
	}
}

// readSnapshot reads the snapshot called name. It is whole or it is not used at all.
func readSnapshot(fs fileSystem, name string) (*format.Snapshot, error) {
	data, err := readFile(fs, name, nil, maxSnapshot)
	if err != nil {
		return nil, err
	}
	return format.ParseSnapshot(name, data)
}
