package tally

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/millrace/millrace/relay/packed"
)

// keepVersion is the first byte of what Keep writes.
const keepVersion = 1

// Keep is what a snapshot holds of the rings:
//
//	byte version · series up to the end, each: byte kind · its key · for each counter: uvarint sum at the last sample · for each span:
//	uvarint points · each, the oldest first: uvarint stamp less that of the one before · uvarint mask of values · each: uvarint
func (s *Statistics) Keep() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.all.append([]byte{keepVersion})
	for _, list := range s.by {
		for _, x := range list {
			b = x.append(b)
		}
	}
	return b
}

// append writes x.
func (s *series) append(b []byte) []byte {
	b = appendKey(append(b, byte(s.kind)), s.kind, s.key)
	for _, n := range s.prev {
		b = binary.AppendUvarint(b, uint64(max(n, 0)))
	}
	var room [24 * 60]point
	for _, r := range s.rings {
		list := r.sampled(room[:0])
		b = binary.AppendUvarint(b, uint64(len(list)))
		before := uint32(0)
		for i := range list {
			b = list[i].append(b, before)
			before = list[i].stamp
		}
	}
	return b
}

// append writes p, which stands behind a point of another time.
func (p *point) append(b []byte, before uint32) []byte {
	b = binary.AppendUvarint(b, uint64(p.stamp-before))
	mask := uint64(0)
	for v, n := range p.v {
		if n != 0 {
			mask |= 1 << v
		}
	}
	b = binary.AppendUvarint(b, mask)
	for _, n := range p.v {
		if n != 0 {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	return b
}

// Recall takes up what Keep has written, before Run. What is malformed is an error, and nothing of it is taken up. The next sample has what
// was counted since the last one before the restart.
func (s *Statistics) Recall(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	r := reader{packed.Of(p)}
	if v := r.Byte(); v != keepVersion {
		return errRecord{"the rings have a version that this program does not know"}
	}
	y := NewStatistics(s.tally, s.queues)
	for r.more() {
		x := r.series()
		switch {
		case r.Bad:
		case x.kind == kindInstallation:
			y.all = x
		case len(y.by[x.kind]) < mostSeries:
			y.by[x.kind][x.key] = x
		}
	}
	if r.Bad {
		return errRecord{"the rings are damaged"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.by = y.all, y.by
	return nil
}

// series reads one series.
func (r *reader) series() *series {
	of := kind(r.Byte())
	if of != kindInstallation && of != kindTenant && of != kindSite && of != kindCampaign {
		r.Fail()
		return nil
	}
	s := newSeries(of, r.key(of))
	for c := range s.prev {
		s.prev[c] = int64(r.UpTo(maxValue))
	}
	for _, ring := range s.rings {
		stamp := uint64(0)
		for range r.UpTo(uint64(len(ring))) {
			stamp += r.UpTo(math.MaxUint32)
			if stamp == 0 || stamp > math.MaxUint32 {
				r.Fail()
				return s
			}
			p := ring.at(uint32(stamp))
			for m := r.UpTo(1<<values - 1); m != 0; m &= m - 1 {
				p.v[bits.TrailingZeros64(m)] = uint32(r.UpTo(math.MaxUint32))
			}
		}
	}
	return s
}
