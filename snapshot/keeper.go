package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// keeper is what only the keeper goroutine touches.
type keeper struct {
	generation uint64    // of the newest snapshot that was begun
	valid      uint64    // of the newest that is durable
	retired    []retired // segments nobody needs, whose files are still there
	clean      bool      // everything is durable; set by Close before the goroutine is told to end
	err        error     // of the last snapshot, read after the goroutine has ended
}

// retired is a segment the snapshot of a generation no longer names.
type retired struct {
	number     uint64
	generation uint64
}

// snapshotLoop is the keeper goroutine. It ends, with a last snapshot, when Close closes halt.
func (a *Agent) snapshotLoop() {
	defer close(a.keeperDone)
	tick := time.NewTicker(a.cfg.Snapshot.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.maintain()
		case <-a.crowded:
			a.maintain()
		case reply := <-a.kick:
			reply <- a.maintain()
		case <-a.halt:
			a.keeper.err = a.snapshot(a.keeper.clean)
			return
		}
	}
}

// maintain copies forward, takes a snapshot and deletes what it makes needless.
func (a *Agent) maintain() error {
	if !a.hasRecovered() {
		return nil
	}
	err := a.forward()
	if serr := a.snapshot(false); err == nil {
		err = serr
	}
	if err != nil {
		a.log.Error("snapshot", "error", err)
	}
	return err
}

// Snapshot takes one now.
func (a *Agent) Snapshot() error {
	reply := make(chan error, 1)
	select {
	case a.kick <- reply:
		return <-reply
	case <-a.keeperDone:
		return ErrClosed
	}
}

func (a *Agent) hasRecovered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.recovered
}

// Keep makes every snapshot hold what save returns, under name: state that is worth keeping over a restart and not worth
// more. save is called from the keeper goroutine.
func (a *Agent) Keep(name string, save func() []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keeping[name] = save
}

// Kept returns what the last start kept under name, or nil.
func (a *Agent) Kept(name string) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept[name]
}

// snapshot writes the next generation and then, in this order, deletes the snapshots before the previous one and the
// segments that neither of the two that remain needs.
func (a *Agent) snapshot(clean bool) error {
	if !a.hasRecovered() {
		return nil
	}
	k := &a.keeper
	p := a.plan(clean)
	err := a.writeSnapshot(p)
	for _, n := range p.finished {
		k.retired = append(k.retired, retired{n, p.head.Number})
	}
	if err != nil {
		return err
	}
	previous := k.valid
	k.valid = p.head.Number
	a.count.snapshots.Add(1)
	if err := a.dropSnapshots(previous); err != nil {
		return err
	}
	return a.dropSegments(previous)
}

// plan decides, in one moment, what the next snapshot says of the segments. It takes as long as copying the vectors, an
// eighth of a byte for each recipient; what is soft follows shard by shard.
func (a *Agent) plan(clean bool) *plan {
	a.keeper.generation++
	a.mu.Lock()
	defer a.mu.Unlock()
	p := &plan{head: format.Header{
		Magic: format.SnapshotMagic, Version: format.Version, Number: a.keeper.generation, Epoch: a.epoch,
		Prev: a.seg.number, PrevEnd: a.seg.number, Created: time.Now(),
	}}
	if clean {
		p.head.Flags |= format.FlagClean
	}
	for n, s := range a.segs {
		if s.finished() && n < a.seg.number && s != a.cur.seg {
			p.finished = append(p.finished, n)
			delete(a.segs, n)
			continue
		}
		v := format.Vector{Number: n, Total: s.total, End: s.limit, Sure: s.sure, Done: slices.Clone(s.done)}
		if clean && s == a.seg {
			v.End, v.Sure = uint64(s.end), uint64(s.end)
		}
		p.vectors = append(p.vectors, v)
	}
	slices.SortFunc(p.vectors, func(x, y format.Vector) int { return cmp.Compare(x.Number, y.Number) })
	p.begun = slices.Collect(maps.Keys(a.begun))
	for id, hungUp := range a.unheard {
		if !clean || !hungUp || a.untold[id] { // of one that hung up the door's log has told; no crash is to blame
			p.unheard = append(p.unheard, id)
		}
	}
	for name, save := range a.keeping {
		p.keep = append(p.keep, part{name, save})
	}
	p.counters = format.Counters{uint64(a.count.takes.Load()), uint64(a.count.rcpts.Load()), uint64(a.count.dones.Load())}
	return p
}

// dropSnapshots deletes all but the newest snapshot and the previous one.
func (a *Agent) dropSnapshots(previous uint64) error {
	names, err := a.fs.List(snapshotDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		n, ok := parseName(name, snapshotExt)
		if !ok || n == previous || n == a.keeper.valid {
			continue
		}
		if err := a.fs.Remove(snapshotDir + "/" + name); err != nil {
			return err
		}
	}
	return a.fs.SyncDir(snapshotDir)
}

// dropSegments deletes the segments that were retired up to the previous snapshot: also that one no longer names them,
// so that it still fits the journal should the newest become unreadable.
func (a *Agent) dropSegments(previous uint64) error {
	k := &a.keeper
	keep := k.retired[:0]
	for i, r := range k.retired {
		if r.generation > previous {
			keep = append(keep, r)
			continue
		}
		if err := a.fs.Remove(segmentName(r.number)); err != nil && !isNotExist(err) {
			k.retired = append(keep, k.retired[i:]...)
			return err
		}
	}
	k.retired = keep
	return a.fs.SyncDir(journalDir)
}

// hasMessage reports whether id is known. The mutex is held.
func (a *Agent) hasMessage(id relay.ID) bool { return a.where[id] != nil }
