package filter

import "sync/atomic"

// budget bounds the bytes of messages that are not taken yet, over all sessions of a door.
type budget struct {
	used atomic.Int64
	max  int64
}

// charge asks for n bytes more and reports whether they fit. The bytes are counted in both cases, so that a message gives
// back what it was charged without remembering which of its charges failed.
func (b *budget) charge(n int) bool { return b.used.Add(int64(n)) <= b.max }

func (b *budget) refund(n int64) { b.used.Add(-n) }
