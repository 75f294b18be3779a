package format

import (
	"encoding/binary"
	"math"
	"time"
)

// decoder reads the fields of a record, one after another. After the first field that does not fit, bad is set and every
// field reads as zero; a caller therefore checks bad once, before it uses any value.
type decoder struct {
	b    []byte
	bad  bool
	lost bool // of a take: its shared record
}

// uvarint reads an unsigned number.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// varint reads a signed number: a time, which may lie before 1970.
func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// byte reads one byte: a mark's number, or flags.
func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

// bytes returns a part of the buffer. Its capacity ends where the part ends, so that an append cannot overwrite what
// follows in the buffer.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// text copies: a message outlives the reader's buffer.
func (d *decoder) text() string { return string(d.bytes()) }

// items reads how many items follow, each of at least size bytes. A number that cannot fit into the rest is refused before
// memory is taken for it: a lying length must not exhaust the memory.
func (d *decoder) items(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

// number reads a value up to limit. Positions are 32-bit numbers in RAM: a larger value must not wrap around.
func (d *decoder) number(limit uint64) uint64 {
	n := d.uvarint()
	if n > limit {
		d.fail()
		return 0
	}
	return n
}

// time reads a time in Unix nanoseconds, 0 when it is not known.
func (d *decoder) time() time.Time { return fromNanos(d.varint()) }

// ticks is the time that is so many times so many nanoseconds after the beginning of 1970. One that no program wrote is malformed.
func (d *decoder) ticks(n, nanoseconds int64) time.Time {
	if n > math.MaxInt64/nanoseconds || n < math.MinInt64/nanoseconds {
		d.fail()
		return time.Time{}
	}
	return fromNanos(n * nanoseconds)
}

// nanos is t in Unix nanoseconds, 0 for the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// fromNanos is the time of which nanos gave n.
func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
