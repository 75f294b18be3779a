package snapshot

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// forwardBytes is how many bytes are copied forward before one snapshot: takes and outcomes share the disk with them.
const forwardBytes = 8 << 20

// keeper is the goroutine that writes snapshots, copies nearly finished segments forward, and deletes what a snapshot makes
// needless. It stands above the writer: it asks the writer to make its copies durable, and the writer knows nothing of it.
type keeper struct {
	fs     FileSystem
	cfg    *Config
	log    hclog.Logger
	book   *ledger
	count  *counts
	writer *writer

	kick    chan chan error // somebody wants a snapshot
	crowded chan struct{}   // the recovery has found many segments
	halt    chan struct{}   // closed to end the goroutine
	done    chan struct{}   // closed when it has ended

	// recovered is the report of the recovery, nil until it is complete. Until all of the journal was read, a snapshot would
	// forget what was not.
	recovered atomic.Pointer[Report]

	mu    sync.Mutex // a lock of its own, under which nothing else is locked
	parts map[string]func() []byte

	// The rest belongs to the goroutine; stop writes clean before the goroutine can read it, and reads err after its end.
	generation uint64       // of the newest snapshot that was begun
	valid      uint64       // of the newest that is durable
	saw        news         // what had happened when the newest that is durable was begun
	retired    []retired    // segments nobody needs, whose files are still there
	room       snapshotRoom // of the next snapshot
	clean      bool         // everything is durable
	err        error        // of the last snapshot
}

// retired is a segment that the snapshot of a generation no longer names.
type retired struct {
	number     uint64
	generation uint64
}

// run is the keeper goroutine. Open starts it; stop ends it, and it takes a last snapshot then.
func (k *keeper) run() {
	defer close(k.done)
	tick := time.NewTicker(k.cfg.Snapshot.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !k.needless() {
				k.maintain()
			}
		case <-k.crowded:
			k.maintain()
		case reply := <-k.kick:
			reply <- k.maintain()
		case <-k.halt:
			k.err = k.snapshot(k.clean)
			return
		}
	}
}

// stop ends the goroutine, waits for it, and returns the error of its last snapshot. clean says that everything recorded is
// durable.
func (k *keeper) stop(clean bool) error {
	k.clean = clean
	close(k.halt)
	<-k.done
	return k.err
}

// ask has a snapshot taken now. It is called from any other goroutine.
func (k *keeper) ask() error {
	reply := make(chan error, 1)
	select {
	case k.kick <- reply:
		return <-reply
	case <-k.done:
		return ErrClosed
	}
}

// permit lets the keeper take snapshots: the recovery is complete. Many segments have it take one soon. It is called once.
func (k *keeper) permit(r *Report, soon bool) {
	k.recovered.Store(r)
	if soon {
		k.crowded <- struct{}{} // has room for one
	}
}

// register has every snapshot hold what save returns. A second save under the same name replaces the first.
func (k *keeper) register(name string, save func() []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.parts[name] = save
}

// maintain copies forward, takes a snapshot and deletes what it makes needless. Copying comes first, so that the snapshot can
// leave out the segments it has emptied. A failure to copy does not keep the snapshot from being taken.
func (k *keeper) maintain() error {
	if k.recovered.Load() == nil {
		return nil
	}
	err := k.forward()
	if serr := k.snapshot(false); err == nil {
		err = serr
	}
	if err != nil {
		k.log.Error("no snapshot could be taken", "error", err)
	}
	k.keepRoom()
	k.widenRoom()
	return err
}

// needless reports whether a snapshot would say nothing that the newest one does not. With a million messages that wait, each
// costs a part of a second, and an idle daemon must not spend it twice a minute.
func (k *keeper) needless() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.valid > 0 && k.saw == k.count.news() && len(k.retired) == 0 && len(k.parts) == 0
}

// forward copies what is left of nearly finished segments into the active one, so that they can be deleted. One message that
// waits for five days would otherwise keep a segment of 64 MB.
func (k *keeper) forward() error {
	for budget := int64(forwardBytes); budget > 0; {
		n, more := k.book.copySome()
		switch {
		case n == 0 && more:
			continue // the lock was free for a moment
		case n == 0:
			return nil
		}
		budget -= n
		if err := k.writer.drain(); err != nil {
			return err
		}
	}
	return nil
}

// snapshot writes the next generation and then, in this order, deletes the snapshots before the previous one and the
// segments that neither of the two that remain needs.
func (k *keeper) snapshot(clean bool) error {
	if k.recovered.Load() == nil {
		return nil
	}
	k.generation++
	saw := k.count.news()
	p := k.plan(clean)
	k.mu.Lock()
	for name, save := range k.parts {
		p.keep = append(p.keep, part{name, save})
	}
	k.mu.Unlock()
	err := k.insist(p)
	for _, n := range p.finished {
		k.retired = append(k.retired, retired{n, p.head.Number})
	}
	if err != nil {
		return err
	}
	previous := k.valid
	k.valid, k.saw = p.head.Number, saw
	k.count.snapshots.Add(1)
	if err := k.deleteSnapshots(previous); err != nil {
		return err
	}
	return k.deleteSegments(previous)
}

// plan is what the next snapshot will say. Its vectors know of outcomes that the commit in the making counts, so that commit must be
// durable before the snapshot is. If it is lost, the plan is made again.
func (k *keeper) plan(clean bool) *plan {
	p := k.book.plan(k.generation, clean)
	if p.counts == nil || k.writer.drain() == nil {
		return p
	}
	again := k.book.plan(k.generation, clean)
	again.finished = append(p.finished, again.finished...)
	return again
}

// insist writes p. When the disk is full to the last byte, the previous snapshot goes, and with it the segments that only
// that one needs: without a snapshot nothing else would ever be deleted.
func (k *keeper) insist(p *plan) error {
	bare, err := k.write(p)
	if isFull(err) && k.valid > 0 {
		k.log.Warn("disk full: the snapshot before the newest one is given up for room", "error", err)
		if err = k.deleteSnapshots(k.valid); err == nil {
			err = k.deleteSegments(k.valid)
		}
		if err == nil {
			bare, err = k.write(p)
		}
	}
	if bare && err == nil {
		k.log.Warn("disk full: the snapshot holds only what is done; after a restart now, mail that waits would be visited too early")
	}
	return err
}

// write writes p into the room that is kept for it, or into what the disk has left.
func (k *keeper) write(p *plan) (bare bool, err error) {
	r, err := k.takeRoom(p.head.Number)
	if err != nil {
		return false, err
	}
	return writeSnapshot(k.fs, r, p, &k.book.waits, k.halt)
}

// deleteSnapshots deletes all but the newest snapshot and the previous one. Snapshots go before segments: one whose segments are
// gone must not be there to be chosen.
func (k *keeper) deleteSnapshots(previous uint64) error {
	names, err := k.fs.List(snapshotDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		n, ok := parseName(name, snapshotExt)
		if !ok || n == previous || n == k.valid {
			continue
		}
		if err := k.fs.Remove(snapshotDir + "/" + name); err != nil {
			return err
		}
	}
	return k.fs.SyncDir(snapshotDir)
}

// deleteSegments deletes the segments that were retired up to the previous snapshot. A segment is kept one snapshot longer
// than the newest needs it, so that the previous one still fits the journal if the newest becomes unreadable.
func (k *keeper) deleteSegments(previous uint64) error {
	keep := k.retired[:0]
	for i, r := range k.retired {
		if r.generation > previous {
			keep = append(keep, r)
			continue
		}
		if err := k.fs.Remove(segmentName(r.number)); err != nil && !isNotExist(err) {
			k.retired = append(keep, k.retired[i:]...)
			return err
		}
	}
	k.retired = keep
	return k.fs.SyncDir(journalDir)
}
