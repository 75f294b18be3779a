package stream

import (
	"strconv"
	"time"
)

// The records that the stream writes about itself belong to one reader each, and share a position with a record before them.

// appendGap appends the record that tells a reader what it has missed: the positions from one to another. missed is how many
// records those were; 0: that is not known, because they are of an earlier start.
func appendGap(out []byte, now time.Time, from, last, missed uint64) []byte {
	var l line
	l.begin(Gap, now)
	l.number("missed", int64(missed))
	l.key("from")
	l.b = strconv.AppendUint(l.b, from, 10)
	return appendOwn(out, last, &l)
}

// appendTotals appends a record of the running totals, or of what they gained or lost.
func appendTotals(out []byte, k Kind, position uint64, now time.Time, t Totals) []byte {
	var l line
	l.begin(k, now)
	name := "totals"
	if k == Recovery {
		name = "difference"
	}
	l.totals(name, t)
	return appendOwn(out, position, &l)
}

func appendOwn(out []byte, position uint64, l *line) []byte {
	out = append(out, open...)
	out = strconv.AppendUint(out, position, 10)
	return append(out, l.end()...)
}

// appendBatch appends the records of a batch that are in the set, in a format: as lines.
func appendBatch(out []byte, b *batch, set kindSet, format, hostname string) []byte {
	if set == 0 && format == FormatMillrace {
		return append(out, b.data...)
	}
	for r, text := range b.each {
		switch {
		case !set.has(r.kind):
		case format == FormatMillrace:
			out = append(out, text...)
		default:
			out = appendKumo(out, r.kind, text, hostname)
		}
	}
	return out
}
