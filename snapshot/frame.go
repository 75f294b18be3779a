package snapshot

import (
	"encoding/binary"
	"hash/crc32"
)

// kind is what a frame holds. Zero is no kind: what was reserved and never written is zeros.
type kind byte

const (
	kindBatch   kind = 1 + iota // begins a commit: how much before it is durable, and the time
	kindBody                    // a wrapper, once in a segment
	kindTake                    // a message
	kindMarks                   // outcomes
	kindVector                  // snapshot: a segment and its bit vector
	kindSoft                    // snapshot: what is soft, in the form of marks
	kindCounter                 // snapshot: counters
	kindKept                    // snapshot: bytes kept for another part of the daemon
	kindEnd                     // snapshot: number of frames before it
	kinds
)

var kindNames = [kinds]string{"", "commit", "body", "take", "outcomes", "vector", "soft", "counters", "kept", "end"}

func (k kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// A frame is one record with its head:
//
//	 0  2  mark 0x4D52
//	 2  1  kind
//	 3  1  zero
//	 4  4  length of the payload
//	 8  4  number of the commit; never falls within a file, so that what a failed commit left behind is not taken for new
//	12  4  CRC32C of the salt, bytes 0 to 11 and the payload
//	16  …  payload
type frame struct {
	kind    kind
	commit  uint32
	payload []byte // of the buffer it was read from
	at      int64  // where the frame begins in its file
}

const (
	frameHead = 16
	frameMark = "MR"
	maxFrame  = 1 << 30
)

// beginFrame appends room for a head and returns where the frame begins.
func beginFrame(b []byte) ([]byte, int) {
	at := len(b)
	return append(b, make([]byte, frameHead)...), at
}

// endFrame fills in the head of the frame that begins at and reaches to the end of b.
func endFrame(b []byte, at int, k kind, s stamp) {
	f := b[at:]
	copy(f, frameMark)
	f[2], f[3] = byte(k), 0
	binary.BigEndian.PutUint32(f[4:], uint32(len(f)-frameHead))
	binary.BigEndian.PutUint32(f[8:], s.commit)
	binary.BigEndian.PutUint32(f[12:], frameSum(f, s.seed))
}

// stamp is what the frames of one commit share.
type stamp struct {
	seed   uint32
	commit uint32
}

func frameSum(f []byte, seed uint32) uint32 {
	return crc32.Update(crc32.Update(seed, crcTable, f[:12]), crcTable, f[frameHead:])
}

// parseFrame reads the frame at the beginning of b. It reports false when there is none that checks, or when its commit
// is older than from. The length is believed only as far as b reaches.
func parseFrame(b []byte, from stamp) (frame, bool) {
	n, ok := frameLength(b)
	if !ok {
		return frame{}, false
	}
	commit := binary.BigEndian.Uint32(b[8:])
	if commit < from.commit || binary.BigEndian.Uint32(b[12:]) != frameSum(b[:n], from.seed) {
		return frame{}, false
	}
	return frame{kind: kind(b[2]), commit: commit, payload: b[frameHead:n:n]}, true
}

// frameLength is the length of the frame at the beginning of b, head included, if its head can be one.
func frameLength(b []byte) (int, bool) {
	if len(b) < frameHead || string(b[:2]) != frameMark || b[2] == 0 || b[2] >= byte(kinds) || b[3] != 0 {
		return 0, false
	}
	n := int64(binary.BigEndian.Uint32(b[4:]))
	if n > maxFrame || n > int64(len(b)-frameHead) {
		return 0, false
	}
	return frameHead + int(n), true
}

// size is the bytes of the frame in its file.
func (f *frame) size() int64 { return frameHead + int64(len(f.payload)) }
