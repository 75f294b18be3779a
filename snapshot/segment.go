package snapshot

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

const (
	journalDir   = "journal"
	snapshotDir  = "snapshot"
	segmentExt   = ".seg"
	snapshotExt  = ".snap"
	temporaryExt = ".tmp"
	damageExt    = ".bad"
	tornExt      = ".torn"
)

// segment is one file of the journal: what was taken in its time, and the vector of who of them is done. It is
// self-contained: a message needs no other segment to be sent. Its counters and vector are guarded by Agent.mu.
type segment struct {
	number uint64
	head   format.Header

	done  format.Bits
	total uint32 // positions given out
	open  int    // positions not done
	live  *entry // the messages that stand here, linked
	moved int    // copies of messages from here that are not durable yet
	limit uint64 // where its records end, once it is no longer written to
	sure  uint64 // up to where all of them are known to have been durable

	bodies  map[[32]byte]uint32 // number of each body frame; only while the segment is written to
	nbodies uint32
	end     int64 // bytes given out to commits
	commits uint32

	// The rest belongs to the writer goroutine.
	file      file
	allocated int64 // bytes reserved on the disk
	written   int64
	durable   int64
	broken    bool // a write or an fsync failed: never written to or synced again
}

func segmentName(number uint64) string { return numbered(journalDir, number, segmentExt) }

func numbered(dir string, number uint64, ext string) string {
	return fmt.Sprintf("%s/%08d%s", dir, number, ext)
}

// parseName returns the number in a name like 00000007.seg.
func parseName(name, ext string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ext)
	if !ok || len(digits) < 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0
}

// nextStamp is that of the next commit.
func (s *segment) nextStamp() format.Stamp {
	s.commits++
	return format.Stamp{Seed: s.head.Seed(), Commit: s.commits}
}

// claim gives out n positions. A position is never given out twice, also not when its message was not taken after all:
// a mark of the first could fit the second.
func (s *segment) claim(n int) place {
	p := place{s, s.total}
	s.total += uint32(n)
	s.open += n
	return p
}

// mark sets the position done and reports whether it was open.
func (s *segment) mark(position uint32) bool {
	if !s.done.Set(position) {
		return false
	}
	s.open--
	return true
}

// finished reports whether nobody needs the segment's messages any more.
func (s *segment) finished() bool { return s.open == 0 && s.live == nil && s.moved == 0 }

// place is where a message's recipients stand: positions base … in a segment's vector.
type place struct {
	seg  *segment
	base uint32
}

func (p place) isDone(i int) bool { return p.seg.done.Has(p.base + uint32(i)) }

// entry is what the agent knows of a message that is not gone.
type entry struct {
	msg       *relay.Message
	at        place
	from      *place   // where it stood before, until the copy at at is durable
	nodeOf    []uint32 // node of each recipient; nil when there is one
	redo      bool     // from is no place recovery would find: when the copy fails it must be made again
	acked     bool     // its door has been told that it is taken
	waits     bool     // has soft state
	gone      bool
	prev, nxt *entry // the others in at.seg.live
}

// stand links e into the list of its segment.
func (e *entry) stand(p place) {
	e.at = p
	e.prev, e.nxt = nil, p.seg.live
	if e.nxt != nil {
		e.nxt.prev = e
	}
	p.seg.live = e
}

// leave takes e out of the list of its segment.
func (e *entry) leave() {
	if e.prev != nil {
		e.prev.nxt = e.nxt
	} else {
		e.at.seg.live = e.nxt
	}
	if e.nxt != nil {
		e.nxt.prev = e.prev
	}
	e.prev, e.nxt = nil, nil
}

// nodes is the number of nodes of the message.
func (e *entry) nodes() int {
	if e.nodeOf == nil {
		return 1
	}
	n := uint32(0)
	for _, i := range e.nodeOf {
		n = max(n, i)
	}
	return int(n) + 1
}
