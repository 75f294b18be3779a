package snapshot

import "github.com/millrace/millrace/snapshot/format"

// segment is one file of the journal: what was taken in its time, and the vector of which of these recipients are done. A
// segment is self-contained: sending a message needs no other segment. ledger.mu guards counters and vector.
type segment struct {
	number uint64
	head   format.Header
	basis  format.Basis // of head

	done   format.Bits
	total  uint32    // positions given out
	undone int       // positions not done
	lives  residents // the messages that stand here
	moved  int       // copies of messages from here that are not durable yet
	limit  uint64    // where its records end, once it is no longer written to
	sure   uint64    // up to here all of its records are known to have been durable

	shared  map[uint64]sharedAt // the shared record of each wrapper, by its serial; only while the segment is written to
	commons int                 // of them, those whose strings are known
	end     int64               // just after the bytes given out to commits
	commits uint32

	// The rest belongs to the writer goroutine, and needs no lock.
	file File
	// durable ≤ written ≤ allocated, but after a write beyond the reservation of a file system that cannot reserve.
	allocated int64 // bytes reserved on the disk
	written   int64 // bytes the operating system has
	durable   int64 // bytes the last successful fsync has made durable
	broken    bool  // a write or an fsync failed: the file is never written to or synced again
}

// fullAt is where s is full, the room for outcomes included: at its reserved space, or at most when that is larger or not known
// yet. The writer goroutine asks.
func (s *segment) fullAt(most int64) int64 {
	if s.allocated == 0 {
		return most
	}
	return min(s.allocated, most)
}

// maxCommons bounds the shared records of a segment whose strings are kept in mind. Mail of which each message has a wrapper of
// its own makes a hundred thousand in a segment, and needs the strings of none again.
const maxCommons = 4096

// sharedAt is a shared record of the segment.
type sharedAt struct {
	number uint32
	common *format.Common // nil: not kept in mind
}

// share notes that the next shared record is that of a wrapper, with the strings of c, and returns it.
func (s *segment) share(serial uint64, c *format.Common) sharedAt {
	at := sharedAt{number: uint32(len(s.shared))}
	if s.commons < maxCommons {
		s.commons++
		kept := *c
		at.common = &kept
	}
	s.shared[serial] = at
	return at
}

// nextStamp is the stamp of the next commit.
func (s *segment) nextStamp() format.Stamp {
	s.commits++
	return format.Stamp{Seed: s.head.Seed(), Commit: s.commits}
}

// allot gives out n positions. A position is never given out twice, even if its message was not taken in the end: a mark
// about the first message would fit the second.
func (s *segment) allot(n int) place {
	p := place{s, s.total}
	s.total += uint32(n)
	s.undone += n
	return p
}

// mark sets the position done and reports whether it was open.
func (s *segment) mark(position uint32) bool {
	if !s.done.Set(position) {
		return false
	}
	s.undone--
	return true
}

// finished reports whether no message needs the segment any more: none waits in it, stands in it, or would fall back to it
// if its copy failed.
func (s *segment) finished() bool { return s.undone == 0 && s.lives.n == 0 && s.moved == 0 }

// place is where a message's recipients stand: positions base and the following in a segment's vector.
type place struct {
	seg  *segment
	base uint32
}

// isDone reports whether recipient i of the message that stands here is done.
func (p place) isDone(i int) bool { return p.seg.done.Has(p.base + uint32(i)) }

// markDone sets recipient i done and reports whether it was open.
func (p place) markDone(i int) bool { return p.seg.mark(p.base + uint32(i)) }

// markAll sets all n recipients done: what stood here is gone, or stands elsewhere.
func (p place) markAll(n int) {
	for i := range n {
		p.markDone(i)
	}
}
