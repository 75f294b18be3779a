package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	segmentMagic = "MILLHIST"
	indexMagic   = "MILLHIDX"
	version      = 1

	headerSize = 32
	frameMark  = 0xd7
	maxPayload = 64 << 10
	maxSegment = 1 << offsetBits
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// errVersion is returned for a file of a later version of the program.
	errVersion = errors.New("is of a newer version")
	// errDamaged is returned for bytes that do not check.
	errDamaged = errors.New("is damaged")
)

// base is what the times and ids of a segment are relative to.
type base struct {
	time int64
	id   uint64
}

// appendHeader appends the header of a segment.
func appendHeader(b []byte, x base) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = append(b, version, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(x.time))
	b = binary.BigEndian.AppendUint64(b, x.id)
	return appendSum(b, start)
}

// readHeader reads the header of a segment. A newer version may have another form behind the version.
func readHeader(b []byte) (x base, err error) {
	switch {
	case len(b) < headerSize || string(b[:8]) != segmentMagic:
		return x, fmt.Errorf("header %w", errDamaged)
	case b[8] > version:
		return x, errVersion
	case binary.BigEndian.Uint32(b[headerSize-4:]) != crc32.Checksum(b[:headerSize-4], castagnoli):
		return x, fmt.Errorf("header %w", errDamaged)
	}
	return base{int64(binary.BigEndian.Uint64(b[12:])), binary.BigEndian.Uint64(b[20:])}, nil
}

// appendFrame appends the frame of a payload.
func appendFrame(b, payload []byte) []byte {
	b = append(b, frameMark)
	start := len(b)
	b = binary.AppendUvarint(b, uint64(len(payload)))
	return appendSum(append(b, payload...), start)
}

// appendSum appends the sum of all that stands behind start.
func appendSum(b []byte, start int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// readFrame reads the frame at the beginning of b. size is 0 if there is none that checks. want is the bytes of a frame of the length that
// stands there, which may be more than b has; 0 if no frame begins here.
func readFrame(b []byte) (payload []byte, size, want int) {
	if len(b) < 2 || b[0] != frameMark {
		return nil, 0, 0
	}
	length, n := binary.Uvarint(b[1:min(len(b), 5)])
	if n <= 0 || length == 0 || length > maxPayload {
		return nil, 0, 0
	}
	end := 1 + n + int(length)
	if len(b) < end+4 {
		return nil, 0, end + 4
	}
	if binary.BigEndian.Uint32(b[end:]) != crc32.Checksum(b[1:end], castagnoli) {
		return nil, 0, end + 4
	}
	return b[1+n : end : end], end + 4, end + 4
}

// walk goes over the frames of a segment, the header left out. Behind damage it goes on at the next frame that checks.
type walk struct {
	b    []byte // the whole segment
	at   int    // where the next frame is looked for
	good int    // where the last frame that checks ends

	frame   int // offset of the frame
	payload []byte
	damaged int // bytes that belong to no frame, between two that check
	vain    int // bytes that were summed for nothing
}

// mostVain is how often the bytes of a segment may be summed for nothing: damage can look like the beginnings of many long frames.
const mostVain = 64

func newWalk(segment []byte) *walk { return &walk{b: segment, at: headerSize, good: headerSize} }

// next finds the next frame. Behind the last one, the bytes from good on are torn.
func (w *walk) next() bool {
	for w.at < len(w.b) && w.vain <= mostVain*len(w.b) {
		payload, size, want := readFrame(w.b[w.at:])
		if size == 0 {
			w.vain += want
			w.skip()
			continue
		}
		w.damaged += w.at - w.good
		w.frame, w.payload = w.at, payload
		w.at += size
		w.good = w.at
		return true
	}
	return false
}

// skip goes to the next mark.
func (w *walk) skip() {
	w.at++
	if n := bytes.IndexByte(w.b[w.at:], frameMark); n >= 0 {
		w.at += n
	} else {
		w.at = len(w.b)
	}
}
