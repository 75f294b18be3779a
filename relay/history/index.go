package history

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"sort"
)

const (
	indexHeader = 40
	entrySize   = 8
	inBucket    = 64 // entries of one value of the table, on average
	maxBits     = 20
)

// summary is what the header of an index says of its segment.
type summary struct {
	entries        int
	size           int64 // bytes of the segment
	oldest, newest int64 // Unix milliseconds
}

// appendIndex appends the index file of a segment.
func appendIndex(b []byte, s summary, entries []uint64) []byte {
	start, tableBits := len(b), min(bits.Len(uint(len(entries)/inBucket)), maxBits)
	b = append(b, indexMagic...)
	b = append(b, version, byte(tableBits), 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	b = binary.BigEndian.AppendUint32(b, uint32(s.size))
	b = binary.BigEndian.AppendUint64(b, uint64(s.oldest))
	b = binary.BigEndian.AppendUint64(b, uint64(s.newest))
	b = appendSum(b, start)
	at := 0
	for bucket := range 1 << tableBits {
		for at < len(entries) && bucketOf(entries[at], tableBits) < bucket {
			at++
		}
		b = binary.BigEndian.AppendUint32(b, uint32(at))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, e)
	}
	return b
}

// bucketOf is the upper bits of an entry. A shift by 64 gives 0.
func bucketOf(entry uint64, tableBits int) int { return int(entry >> (64 - tableBits)) }

// index is an open index file.
type index struct {
	summary
	file io.ReaderAt
	bits int
}

// openIndex reads the header of an index that has so many bytes.
func openIndex(file io.ReaderAt, size int64) (x index, err error) {
	var h [indexHeader]byte
	if _, err := file.ReadAt(h[:], 0); err != nil {
		return x, fmt.Errorf("index: %w", err)
	}
	switch {
	case string(h[:8]) != indexMagic:
		return x, fmt.Errorf("index %w", errDamaged)
	case h[8] > version:
		return x, fmt.Errorf("index %w", errVersion)
	case string(appendSum(h[:indexHeader-4:indexHeader-4], 0)) != string(h[:]) || h[9] > maxBits:
		return x, fmt.Errorf("index %w", errDamaged)
	}
	x = index{file: file, bits: int(h[9])}
	x.entries, x.size = int(binary.BigEndian.Uint32(h[12:])), int64(binary.BigEndian.Uint32(h[16:]))
	x.oldest, x.newest = int64(binary.BigEndian.Uint64(h[20:])), int64(binary.BigEndian.Uint64(h[28:]))
	if size != x.start()+int64(x.entries)*entrySize {
		return x, fmt.Errorf("index %w: its length is wrong", errDamaged)
	}
	return x, nil
}

// start is where the entries begin.
func (x *index) start() int64 { return indexHeader + 4*(1<<x.bits+1) }

// find calls yield with the offsets of a key, the largest first, until it returns false. It reads two places of the table, and a bucket
// by binary search.
func (x *index) find(k key, yield func(offset int64) bool) error {
	var pair [8]byte
	if _, err := x.file.ReadAt(pair[:], indexHeader+4*int64(bucketOf(uint64(k), x.bits))); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	low, high := int(binary.BigEndian.Uint32(pair[:])), int(binary.BigEndian.Uint32(pair[4:]))
	if low > high || high > x.entries {
		return fmt.Errorf("index %w: its table is wrong", errDamaged)
	}
	var err error
	end := low + sort.Search(high-low, func(i int) bool {
		e, fault := x.read(low+i, 1)
		if fault != nil {
			err = fault
			return true
		}
		return e[0] > k.entry(maxSegment-1)
	})
	for end > low && err == nil {
		n := min(end-low, inBucket)
		var some []uint64
		some, err = x.read(end-n, n)
		for i := len(some) - 1; i >= 0; i-- {
			if some[i] < k.entry(0) || !yield(int64(some[i]&(maxSegment-1))) {
				return nil
			}
		}
		end -= n
	}
	return err
}

// read reads n entries, from the i-th on; inBucket at most.
func (x *index) read(i, n int) ([]uint64, error) {
	var room [inBucket * entrySize]byte
	b := room[:n*entrySize]
	if _, err := x.file.ReadAt(b, x.start()+int64(i)*entrySize); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	entries := make([]uint64, n)
	for i := range entries {
		entries[i] = binary.BigEndian.Uint64(b[i*entrySize:])
	}
	return entries, nil
}
