package format

import (
	"encoding/binary"
	"hash/crc32"
)

// Kind is what a frame holds. Zero is no kind: what was reserved and never written is zeros.
type Kind byte

const (
	KindCommit   Kind = 1 + iota // first frame of a commit: how much before it is durable, the time, the totals
	KindBody                     // versions 1 and 2: a body, once in a segment
	KindOldTake                  // versions 1 and 2: a message
	KindMarks                    // outcomes
	KindVector                   // snapshot: a segment and its bit vector
	KindSoft                     // snapshot: what is soft, in the form of marks
	KindCounters                 // snapshot: totals
	KindKept                     // snapshot: bytes kept for another part of the daemon
	KindEnd                      // snapshot: number of frames before it
	KindShared                   // what messages have in common, once in a segment
	KindTake                     // a message
	KindCounts                   // what a part of the daemon has counted
	kinds
)

var kindNames = [kinds]string{"", "commit", "body", "take", "outcomes", "vector", "soft", "counters", "kept", "end", "shared", "take", "counts"}

// In reports whether files of a version have frames of this kind. Each kind has one meaning, so messages have two kinds.
func (k Kind) In(version uint16) bool {
	switch k {
	case KindBody, KindOldTake:
		return version < VersionShared
	case KindShared, KindTake, KindCounts:
		return version >= VersionShared
	}
	return true
}

// String is the word "millrace spool dump" uses.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Frame is one record with its head:
//
//	 0  2  mark 0x4D52
//	 2  1  kind
//	 3  1  zero
//	 4  4  length of the payload
//	 8  4  number of the commit; never falls within a file, so that what a failed commit left behind is not taken for new
//	12  4  CRC32C of the salt, bytes 0 to 11 and the payload
//	16  …  payload
type Frame struct {
	Kind    Kind
	Commit  uint32
	Payload []byte // part of the buffer the frame was read from
	At      int64  // where the frame begins in its file
}

const (
	// FrameHead is the length of a frame's head.
	FrameHead = 16
	// MaxFrame bounds the payload. A length above it is damage, whatever the checksum says.
	MaxFrame = 1 << 30

	frameMark = "MR"
)

// BeginFrame appends room for a head and returns where the frame begins. The caller appends the payload and then calls
// EndFrame.
func BeginFrame(b []byte) ([]byte, int) {
	at := len(b)
	return append(b, make([]byte, FrameHead)...), at
}

// EndFrame fills in the head of the frame that begins at offset at and reaches to the end of b. Frames are finished last
// because the checksum covers the payload, which is appended in place: no payload is copied.
func EndFrame(b []byte, at int, k Kind, s Stamp) {
	f := b[at:]
	copy(f, frameMark)
	f[2], f[3] = byte(k), 0
	binary.BigEndian.PutUint32(f[4:], uint32(len(f)-FrameHead))
	binary.BigEndian.PutUint32(f[8:], s.Commit)
	binary.BigEndian.PutUint32(f[12:], frameSum(f, s.Seed))
}

// Stamp is what the frames of one commit share.
type Stamp struct {
	Seed   uint32 // of the file: see Header.Seed
	Commit uint32 // number of the commit within the file
}

func frameSum(f []byte, seed uint32) uint32 {
	return crc32.Update(crc32.Update(seed, crcTable, f[:12]), crcTable, f[FrameHead:])
}

// ParseFrame reads the frame at the beginning of b. It reports false when no frame matches its checksum there, or when the
// frame's commit is older than from: a failed commit can leave its frames behind a later, shorter one. The length is
// believed only as far as b reaches.
func ParseFrame(b []byte, from Stamp) (Frame, bool) {
	n, ok := frameLength(b)
	if !ok {
		return Frame{}, false
	}
	commit := binary.BigEndian.Uint32(b[8:])
	if commit < from.Commit || binary.BigEndian.Uint32(b[12:]) != frameSum(b[:n], from.Seed) {
		return Frame{}, false
	}
	return Frame{Kind: Kind(b[2]), Commit: commit, Payload: b[FrameHead:n:n]}, true
}

// frameLength is the length of the frame at the beginning of b, head included, if the head is plausible. It looks at no
// checksum: a reader that searches for the next frame asks here first, because a checksum costs as much as the payload.
func frameLength(b []byte) (int, bool) {
	if len(b) < FrameHead || string(b[:2]) != frameMark || b[2] == 0 || b[2] >= byte(kinds) || b[3] != 0 {
		return 0, false
	}
	n := int64(binary.BigEndian.Uint32(b[4:]))
	if n > MaxFrame || n > int64(len(b)-FrameHead) {
		return 0, false
	}
	return FrameHead + int(n), true
}

// Len is the number of bytes of the frame in its file, head included.
func (f *Frame) Len() int64 { return FrameHead + int64(len(f.Payload)) }
