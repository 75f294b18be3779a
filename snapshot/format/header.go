package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// Magic of each kind of file.
const (
	SegmentMagic  = "MRjourna"
	SnapshotMagic = "MRsnapsh"
)

const (
	// Version is the version this program writes, and the newest it reads. FORMAT.md lists what each version added.
	Version = 3
	// VersionHeard is the first version with marks 3, 4 and 5. In an older file no node was marked as being sent, and a
	// message without mark 4 is one whose MTA has heard.
	VersionHeard = 2
	// VersionShared is the first version with shared records, totals, and reasons for which a recipient is done.
	VersionShared = 3

	// HeaderSize is the length of one copy of the header.
	HeaderSize = 64
	// BlockSize is the length of the header block; frames begin behind it. The header stands in it twice, so that one bad
	// sector does not cost a segment.
	BlockSize = 4096
	// CopyAt is where the second copy of the header stands.
	CopyAt = 2048
	// SuccessorAt is where a segment names the one after it. The slot is written when the segment is full, long after the
	// header, and has a sector of its own: a torn write of it must not harm the header.
	SuccessorAt = 3072
	// EpochShift is how many bits of a message id stand below the epoch.
	EpochShift = 40
	// FlagClean of a snapshot: a clean stop wrote it.
	FlagClean = 1

	successorMagic = "MRsuccsr"
)

// crcTable is that of CRC32C (RFC 3720 appendix B.4), which processors compute.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// Header stands at the beginning of every file of ours:
//
//	 0  8  magic, by kind of file
//	 8  2  version: its own field, so that a newer file is never called damaged
//	10  2  flags
//	12  2  node: of a cluster, 0 for a daemon alone; since version 3, zero before
//	14  2  zero
//	16  8  number: of the segment, or the generation of the snapshot
//	24  8  epoch: the start of the daemon that wrote it, upper part of its message ids
//	32  8  salt: random, goes into every checksum of the file
//	40  8  segment: number of the one before, 0 for none; snapshot: the segment replay begins with
//	48  8  segment: where the one before ends, 0 when not known; snapshot: number of the newest segment
//	56  4  time of creation, Unix seconds
//	60  4  CRC32C of bytes 0 to 59
//
// Magic, version and checksum stand there in all versions.
type Header struct {
	Magic   string
	Version uint16
	Flags   uint16
	Node    uint16
	Number  uint64
	Epoch   uint64
	Salt    uint64
	Prev    uint64
	PrevEnd uint64
	Created time.Time
}

func (h *Header) encode() []byte {
	b := make([]byte, HeaderSize)
	copy(b, h.Magic)
	be := binary.BigEndian
	be.PutUint16(b[8:], h.Version)
	be.PutUint16(b[10:], h.Flags)
	be.PutUint16(b[12:], h.Node)
	be.PutUint64(b[16:], h.Number)
	be.PutUint64(b[24:], h.Epoch)
	be.PutUint64(b[32:], h.Salt)
	be.PutUint64(b[40:], h.Prev)
	be.PutUint64(b[48:], h.PrevEnd)
	be.PutUint32(b[56:], uint32(h.Created.Unix()))
	be.PutUint32(b[60:], crc32.Checksum(b[:60], crcTable))
	return b
}

// Block is the header block: everything before the frames.
func (h *Header) Block() []byte {
	b := make([]byte, BlockSize)
	enc := h.encode()
	copy(b, enc)
	copy(b[CopyAt:], enc)
	return b
}

// Seed is what the checksums of the file's frames start from. The salt is random and leaves the host in no message: the
// author of a mail cannot write a body that passes for frames when a reader searches for the next frame after damage.
func (h *Header) Seed() uint32 {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], h.Salt)
	return crc32.Checksum(b[:], crcTable)
}

// Basis is what the takes of the file count from: the first id of its epoch, and its creation.
func (h *Header) Basis() Basis {
	return Basis{ID: h.Epoch << EpochShift, Time: h.Created.Unix() * int64(time.Second)}
}

// ReadHeader reads the header from the first bytes of the file called name: the second copy, when the first is damaged.
// The error is that of the first copy, since a reader looks there first.
func ReadHeader(name, magic string, b []byte) (Header, error) {
	h, err := decodeHeader(name, magic, b)
	if err == nil || len(b) < CopyAt {
		return h, err
	}
	if h2, err2 := decodeHeader(name, magic, b[CopyAt:]); err2 == nil || errors.Is(err2, ErrVersion) {
		return h2, err2 // a newer file is called newer, also when its first copy is damaged
	}
	return h, err
}

func decodeHeader(name, magic string, b []byte) (Header, error) {
	var h Header
	if len(b) < HeaderSize {
		return h, &DamageError{File: name, Why: "shorter than its header"}
	}
	be := binary.BigEndian
	if string(b[:8]) != magic || be.Uint32(b[60:]) != crc32.Checksum(b[:60], crcTable) {
		return h, &DamageError{File: name, Why: "its header does not match its checksum"}
	}
	h = Header{
		Magic: magic, Version: be.Uint16(b[8:]), Flags: be.Uint16(b[10:]), Node: be.Uint16(b[12:]), Number: be.Uint64(b[16:]), Epoch: be.Uint64(b[24:]),
		Salt: be.Uint64(b[32:]), Prev: be.Uint64(b[40:]), PrevEnd: be.Uint64(b[48:]), Created: time.Unix(int64(be.Uint32(b[56:])), 0),
	}
	switch {
	case h.Version > Version:
		return h, fmt.Errorf("%s: %w: format %d, this program reads up to %d; nothing was changed", name, ErrVersion, h.Version, Version)
	case h.Version == 0:
		return h, &DamageError{File: name, Why: "version 0 does not exist"}
	}
	return h, nil
}

// EncodeSuccessor gives the bytes of the successor's slot: magic (8), number (8), CRC32C of these 16 bytes (4).
func EncodeSuccessor(number uint64) []byte {
	b := make([]byte, 20)
	copy(b, successorMagic)
	binary.BigEndian.PutUint64(b[8:], number)
	binary.BigEndian.PutUint32(b[16:], crc32.Checksum(b[:16], crcTable))
	return b
}

// DecodeSuccessor returns the number of the segment that follows, or 0 when the header block b does not name it: the daemon
// ended before this segment was full, or the slot is damaged. Two other chains find a missing segment then.
func DecodeSuccessor(b []byte) uint64 {
	if len(b) < BlockSize {
		return 0
	}
	b = b[SuccessorAt:]
	if string(b[:8]) != successorMagic || binary.BigEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], crcTable) {
		return 0
	}
	return binary.BigEndian.Uint64(b[8:])
}
