package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

const (
	segmentMagic  = "MRjourna"
	snapshotMagic = "MRsnapsh"

	// formatVersion is the version this program writes, and the newest it reads. Version 1 had no marks of nodes that are
	// being sent and of messages whose MTA has heard of it; everything else is the same.
	formatVersion = 2
	// marksHeard is the version from which on a message without a mark that says otherwise may not be known to its MTA.
	marksHeard = 2

	headerSize = 64
	// blockSize is where a file's frames begin. The header stands there twice, so that one bad sector does not cost a
	// segment, and the successor has a sector of its own because it is written later.
	blockSize  = 4096
	copyAt     = 2048
	nextAt     = 3072
	nextMagic  = "MRsuccsr"
	flagsClean = 1 // snapshot: written by a clean stop
)

// crcTable is that of CRC32C (RFC 3720 appendix B.4), which processors compute.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// header stands at the beginning of every file of ours:
//
//	 0  8  magic, by kind of file
//	 8  2  version: its own field, so that a newer file is never called damaged
//	10  2  flags
//	12  4  zero
//	16  8  number: of the segment, or the generation of the snapshot
//	24  8  epoch: the start of the daemon that wrote it, upper part of its message ids
//	32  8  salt: random, goes into every checksum of the file
//	40  8  segment: number of the one before, 0 for none; snapshot: the segment replay begins with
//	48  8  segment: where the one before ends, 0 when not known; snapshot: number of the newest segment
//	56  4  time of creation, Unix seconds
//	60  4  CRC32C of bytes 0 to 59
//
// Magic, version and checksum stand there in all versions.
type header struct {
	magic   string
	version uint16
	flags   uint16
	number  uint64
	epoch   uint64
	salt    uint64
	prev    uint64
	prevEnd uint64
	created time.Time
}

func (h *header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, h.magic)
	be := binary.BigEndian
	be.PutUint16(b[8:], h.version)
	be.PutUint16(b[10:], h.flags)
	be.PutUint64(b[16:], h.number)
	be.PutUint64(b[24:], h.epoch)
	be.PutUint64(b[32:], h.salt)
	be.PutUint64(b[40:], h.prev)
	be.PutUint64(b[48:], h.prevEnd)
	be.PutUint32(b[56:], uint32(h.created.Unix()))
	be.PutUint32(b[60:], crc32.Checksum(b[:60], crcTable))
	return b
}

// block is the header block: all that precedes the frames.
func (h *header) block() []byte {
	b := make([]byte, blockSize)
	enc := h.encode()
	copy(b, enc)
	copy(b[copyAt:], enc)
	return b
}

// seed is what the checksums of the file's frames start from. It is unknown to whoever writes mail, so that a body
// cannot hold bytes that would pass for a frame when a reader looks for the next one after damage.
func (h *header) seed() uint32 {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], h.salt)
	return crc32.Checksum(b[:], crcTable)
}

// readHeader reads the header block of a file, the second copy when the first does not check.
func readHeader(name, magic string, b []byte) (header, error) {
	h, err := decodeHeader(name, magic, b)
	if err == nil || len(b) < copyAt {
		return h, err
	}
	if h2, err2 := decodeHeader(name, magic, b[copyAt:]); err2 == nil {
		return h2, nil
	}
	return h, err
}

func decodeHeader(name, magic string, b []byte) (header, error) {
	var h header
	if len(b) < headerSize {
		return h, &DamageError{File: name, Why: "shorter than its header"}
	}
	be := binary.BigEndian
	if string(b[:8]) != magic || be.Uint32(b[60:]) != crc32.Checksum(b[:60], crcTable) {
		return h, &DamageError{File: name, Why: "its header does not check"}
	}
	h = header{
		magic: magic, version: be.Uint16(b[8:]), flags: be.Uint16(b[10:]), number: be.Uint64(b[16:]), epoch: be.Uint64(b[24:]),
		salt: be.Uint64(b[32:]), prev: be.Uint64(b[40:]), prevEnd: be.Uint64(b[48:]), created: time.Unix(int64(be.Uint32(b[56:])), 0),
	}
	switch {
	case h.version > formatVersion:
		return h, fmt.Errorf("%s: %w: format %d, this program reads up to %d; nothing was changed", name, ErrVersion, h.version, formatVersion)
	case h.version == 0:
		return h, &DamageError{File: name, Why: "version 0 does not exist"}
	}
	return h, nil
}

// encodeNext is the successor's slot: 8 bytes magic, 8 bytes number, 4 bytes CRC32C of them.
func encodeNext(number uint64) []byte {
	b := make([]byte, 20)
	copy(b, nextMagic)
	binary.BigEndian.PutUint64(b[8:], number)
	binary.BigEndian.PutUint32(b[16:], crc32.Checksum(b[:16], crcTable))
	return b
}

// decodeNext returns the number of the segment that follows, or 0 when the block b does not say.
func decodeNext(b []byte) uint64 {
	if len(b) < blockSize {
		return 0
	}
	b = b[nextAt:]
	if string(b[:8]) != nextMagic || binary.BigEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], crcTable) {
		return 0
	}
	return binary.BigEndian.Uint64(b[8:])
}
