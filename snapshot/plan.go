package snapshot

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// plan is what a snapshot will say.
type plan struct {
	head     format.Header
	vectors  []format.Vector
	doubts   []format.Node
	unheard  []relay.ID
	totals   format.Totals
	counts   []byte // nil: nobody counts
	keep     []part
	finished []uint64 // segments it no longer names
}

// part is another part of the daemon that keeps bytes in the snapshot.
type part struct {
	name string
	save func() []byte
}

// plan decides, in one moment, what the snapshot of this generation says of the segments, and forgets the finished ones. The
// mutex is held for as long as it takes to copy the vectors, an eighth of a byte for each recipient. What nodes have learned
// follows later, shard by shard: replaying the journal from the segment active now brings it up to date.
func (l *ledger) plan(generation uint64, clean bool) *plan {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &plan{head: format.Header{
		Magic: format.SnapshotMagic, Version: format.Version, Node: node, Number: generation, Epoch: l.epoch, Salt: newSalt(),
		Prev: l.active.number, PrevEnd: l.active.number, Created: time.Now(),
	}}
	if clean {
		p.head.Flags |= format.FlagClean
	}
	// A clean snapshot is the last word on the active segment, so it can say where that ends. Any other one cannot: records
	// follow while it is written.
	for n, s := range l.segs {
		if s.finished() && n < l.active.number && s != l.next.seg {
			p.finished = append(p.finished, n)
			delete(l.segs, n)
			continue
		}
		v := format.Vector{Number: n, Total: s.total, End: s.limit, Sure: s.sure, Done: slices.Clone(s.done)}
		if clean && s == l.active {
			v.End, v.Sure = uint64(s.end), uint64(s.end)
		}
		p.vectors = append(p.vectors, v)
	}
	slices.SortFunc(p.vectors, func(x, y format.Vector) int { return cmp.Compare(x.Number, y.Number) })
	p.doubts, p.unheard = slices.Collect(maps.Keys(l.doubts.nodes)), l.doubts.toHandOn(clean)
	p.totals = l.totals
	p.counts = l.counts.snapshot(l.blocked != nil)
	return p
}
