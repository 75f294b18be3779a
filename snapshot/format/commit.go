package format

import (
	"encoding/binary"
	"time"
)

// A commit frame is the first frame of each commit. Its payload is
//
//	0  8  everything in this segment before this offset is durable
//	8  8  time of the commit, Unix nanoseconds
const (
	commitPayload = 16
	// CommitFrame is the length of a commit frame, head included. It is fixed, so that a commit can leave room for the frame
	// and fill it in when it is written: only then is it known how much before it is durable.
	CommitFrame = FrameHead + commitPayload
)

// FillCommit writes the commit frame into b, which is CommitFrame bytes long.
func FillCommit(b []byte, durable int64, now time.Time, s Stamp) {
	binary.BigEndian.PutUint64(b[FrameHead:], uint64(durable))
	binary.BigEndian.PutUint64(b[FrameHead+8:], uint64(now.UnixNano()))
	EndFrame(b[:CommitFrame], 0, KindCommit, s)
}

// DecodeCommit reads the payload of a commit frame. It reports false for a payload of another length.
func DecodeCommit(p []byte) (durable int64, at time.Time, ok bool) {
	if len(p) != commitPayload {
		return 0, time.Time{}, false
	}
	return int64(binary.BigEndian.Uint64(p)), time.Unix(0, int64(binary.BigEndian.Uint64(p[8:]))), true
}
