package snapshot

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/millrace/millrace/relay"
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
	head     header
	vectors  []vector
	begun    []softKey
	unheard  []relay.ID
	counters [3]int64 // messages and recipients taken, recipients done, since start
	keep     []part
	finished []uint64 // segments it no longer names
}

// vector is a segment and who in it is done.
type vector struct {
	number uint64
	total  uint32
	end    uint64 // where its records end, 0 when they may go on
	sure   uint64 // up to where all of them are known to have been durable
	done   bitVector
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
	p.head.salt = binary.BigEndian.Uint64(salt[:])
	name, tmp := numbered(snapshotDir, p.head.number, snapshotExt), numbered(snapshotDir, p.head.number, temporaryExt)
	f, err := a.fs.Create(tmp)
	if err != nil {
		return err
	}
	w := &snapshotWriter{file: f, at: blockSize, stamp: stamp{seed: p.head.seed(), commit: 1}, hurry: a.halt, since: time.Now()}
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
	stamp  stamp
	buf    []byte
	frames uint64
	hurry  <-chan struct{} // closed when there is no time to rest
	since  time.Time       // when the chunk in buf was begun
	err    error
}

func (w *snapshotWriter) all(a *Agent, p *plan) {
	for _, v := range p.vectors {
		w.frame(kindVector, func(b []byte) []byte {
			b = binary.AppendUvarint(b, v.number)
			b = binary.AppendUvarint(b, uint64(v.total))
			b = binary.AppendUvarint(b, v.end)
			b = binary.AppendUvarint(b, v.sure)
			return v.done.append(b)
		})
	}
	for i := range softShards {
		w.frame(kindSoft, func(b []byte) []byte { return a.soft.appendShard(b, i) })
	}
	w.frame(kindSoft, func(b []byte) []byte {
		for _, k := range p.begun {
			b = appendBegin(b, k)
		}
		for _, id := range p.unheard {
			b = appendHeard(b, markDeaf, id)
		}
		return b
	})
	w.frame(kindCounter, func(b []byte) []byte {
		for _, c := range p.counters {
			b = binary.AppendUvarint(b, uint64(c))
		}
		return b
	})
	for _, k := range p.keep {
		w.frame(kindKept, func(b []byte) []byte { return append(appendString(b, k.name), k.save()...) })
	}
}

// frame adds one frame, unless it is empty.
func (w *snapshotWriter) frame(k kind, payload func([]byte) []byte) {
	if w.err != nil {
		return
	}
	buf, at := beginFrame(w.buf)
	buf = payload(buf)
	if len(buf) == at+frameHead {
		w.buf = buf[:at]
		return
	}
	endFrame(buf, at, k, w.stamp)
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

// finish writes the end, the header, and makes the content durable.
func (w *snapshotWriter) finish(h *header) {
	n := w.frames
	w.frame(kindEnd, func(b []byte) []byte { return binary.AppendUvarint(b, n) })
	w.flush()
	if w.err == nil {
		_, w.err = w.file.WriteAt(h.block(), 0)
	}
	if w.err == nil {
		w.err = w.file.Sync()
	}
}

// snapshotData is a snapshot that was read and checks from its first byte to its last.
type snapshotData struct {
	head    header
	vectors []vector
	soft    [][]byte // marks
	kept    map[string][]byte
	count   [3]uint64
}

// readSnapshot reads the snapshot called name. It is whole or it is not used at all.
func readSnapshot(fs fileSystem, name string) (*snapshotData, error) {
	data, err := readFile(fs, name, nil, maxSnapshot)
	if err != nil {
		return nil, err
	}
	return parseSnapshot(name, data)
}

func parseSnapshot(name string, data []byte) (*snapshotData, error) {
	h, err := readHeader(name, snapshotMagic, data)
	if err != nil {
		return nil, err
	}
	s := &snapshotData{head: h, kept: make(map[string][]byte)}
	sc := newScan(name, data, h)
	var frames, promised uint64
	ended := false
	err = sc.run(func(f frame) error {
		if f.kind == kindEnd {
			d := &decoder{b: f.payload}
			promised, ended = d.uvarint(), !d.bad
			return nil
		}
		frames++
		return s.add(f)
	})
	switch {
	case err != nil:
		return nil, &DamageError{File: name, Why: err.Error()}
	case len(sc.gaps) > 0:
		return nil, sc.gaps[0]
	case !ended || frames != promised:
		return nil, &DamageError{File: name, Why: "it ends early"}
	}
	return s, nil
}

func (s *snapshotData) add(f frame) error {
	d := &decoder{b: f.payload}
	switch f.kind {
	case kindVector:
		v := vector{number: d.uvarint(), total: uint32(d.number(maxBase)), end: d.uvarint(), sure: d.uvarint()}
		v.done = decodeBits(d.b)
		s.vectors = append(s.vectors, v)
	case kindSoft:
		s.soft = append(s.soft, f.payload)
	case kindCounter:
		for i := range s.count {
			s.count[i] = d.uvarint()
		}
	case kindKept:
		name := d.string()
		s.kept[name] = append([]byte(nil), d.b...)
	default:
		return errRecord
	}
	if d.bad {
		return errRecord
	}
	return nil
}
