package format

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/millrace/millrace/relay/packed"
)

// decoder reads the fields of a record.
type decoder struct {
	packed.Reader
	lost bool // of a take: its shared record
}

// decode reads p.
func decode(p []byte) *decoder { return &decoder{Reader: packed.Of(p)} }

// bytes reads a length and so many bytes, which are a part of the buffer.
func (d *decoder) bytes() []byte { return d.Bytes(d.Uvarint()) }

// text copies: a message outlives the reader's buffer.
func (d *decoder) text() string { return string(d.bytes()) }

// items reads how many items follow, each of at least size bytes. A number that cannot fit into the rest is refused before
// memory is taken for it: a lying length must not exhaust the memory.
func (d *decoder) items(size int) int {
	n := d.Uvarint()
	if n > uint64(len(d.Rest)/size) {
		d.Fail()
		return 0
	}
	return int(n)
}

// time reads a time in Unix nanoseconds, 0 when it is not known.
func (d *decoder) time() time.Time { return fromNanos(d.Varint()) }

// ticks is the time that is so many times so many nanoseconds after the beginning of 1970. One that no program wrote is malformed.
func (d *decoder) ticks(n, nanoseconds int64) time.Time {
	if n > math.MaxInt64/nanoseconds || n < math.MinInt64/nanoseconds {
		d.Fail()
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

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
