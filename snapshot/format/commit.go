package format

import (
	"encoding/binary"
	"time"
)

// Commit is the first frame of each commit. Its payload is
//
//	 0   8  everything in this segment before this offset is durable
//	 8   8  time of the commit, Unix nanoseconds
//	16  64  the totals of all commits before it, 8 bytes each; not in each commit, and not before version 3
type Commit struct {
	Durable int64
	At      time.Time
	Counted bool // it has totals
	Totals  Totals
}

const (
	barePayload   = 16
	commitPayload = barePayload + 8*len(Totals{})
	// BareCommit and CommitFrame are the lengths of a commit frame without totals and with them, head included. They are fixed, so
	// that a commit can leave room for the frame and fill it in when it is written: only then is it known how much before it is
	// durable.
	BareCommit  = FrameHead + barePayload
	CommitFrame = FrameHead + commitPayload
)

// Fill writes the commit frame into b, which has its length: it has totals if there is room for them.
func (c *Commit) Fill(b []byte, s Stamp) {
	p := b[FrameHead:]
	binary.BigEndian.PutUint64(p, uint64(c.Durable))
	binary.BigEndian.PutUint64(p[8:], uint64(c.At.UnixNano()))
	if len(b) == CommitFrame {
		for i, n := range c.Totals {
			binary.BigEndian.PutUint64(p[barePayload+8*i:], n)
		}
	}
	EndFrame(b, 0, KindCommit, s)
}

// DecodeCommit reads the payload of a commit frame. It reports false for a payload of another length.
func DecodeCommit(p []byte) (c Commit, ok bool) {
	if len(p) != commitPayload && len(p) != barePayload {
		return c, false
	}
	c.Durable, c.At = int64(binary.BigEndian.Uint64(p)), time.Unix(0, int64(binary.BigEndian.Uint64(p[8:])))
	if c.Counted = len(p) == commitPayload; c.Counted {
		for i := range c.Totals {
			c.Totals[i] = binary.BigEndian.Uint64(p[barePayload+8*i:])
		}
	}
	return c, true
}
