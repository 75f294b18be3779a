package tally

import (
	"cmp"
	"math"
	"slices"
)

// Span is how long a Point is.
type Span uint8

// The spans: a day of minutes and a month of hours are kept.
const (
	Minutes Span = iota
	Hours
	spans
)

var (
	spanSeconds = [spans]int64{60, 3600}
	spanPoints  = [spans]int{24 * 60, 31 * 24}
)

// Seconds is how long a Point of the span is.
func (s Span) Seconds() int64 { return spanSeconds[s] }

// Most is how many points of the span are kept.
func (s Span) Most() int { return spanPoints[s] }

// value is a place in a point. The numbers stand in what is kept over a restart: a new one goes to the end.
type value int

const (
	valueMessages value = iota
	valueRecipients
	valueSent
	valueDeferred
	valueBounced
	valueExpired
	valueHandedBack
	valueDeleted
	valuePeak     // most recipients sent in a second
	valueLeft     // at the last sample
	valueMostLeft // in any sample
	valueQueues   // at the last sample
	values
)

// point is what was sampled in one span of time.
type point struct {
	stamp uint32 // the time divided by the span; 0: nothing was sampled
	v     [values]uint32
}

// ring has the last points of one span. Each stands where its stamp says, so that gaps and a clock that was set need no care: a point
// counts if its stamp is the one that is looked for.
type ring []point

// at is the point of a time, made anew if its place has one of another time.
func (r ring) at(stamp uint32) *point {
	p := &r[int(stamp)%len(r)]
	if p.stamp != stamp {
		*p = point{stamp: stamp}
	}
	return p
}

// last appends the points of the n stamps up to one, the oldest first, that were sampled.
func (r ring) last(list []point, stamp uint32, n int) []point {
	for i := min(n, len(r)) - 1; i >= 0; i-- {
		if want := int64(stamp) - int64(i); want > 0 {
			if p := r[want%int64(len(r))]; int64(p.stamp) == want {
				list = append(list, p)
			}
		}
	}
	return list
}

// sampled appends all points, the oldest first. One from the future, of a clock that was wrong for a moment, takes no other's place.
func (r ring) sampled(list []point) []point {
	for i := range r {
		if r[i].stamp > 0 {
			list = append(list, r[i])
		}
	}
	slices.SortFunc(list, func(a, b point) int { return cmp.Compare(a.stamp, b.stamp) })
	return list
}

// sample is what was counted since the one before.
type sample struct {
	delta   sums
	left    int64
	queues  int64
	seconds float64 // since the one before, 1 or more
}

// add makes s a part of p.
func (p *point) add(s *sample) {
	add := func(v value, n int64) { p.v[v] = saturate(int64(p.v[v]) + max(n, 0)) }
	d := &s.delta
	add(valueMessages, d[messages])
	add(valueRecipients, d[recipients])
	add(valueSent, d[sent])
	add(valueDeferred, d[deferred])
	for _, n := range d[bounced:] {
		add(valueBounced, n)
	}
	add(valueExpired, d[expired])
	add(valueHandedBack, d[handedBack])
	add(valueDeleted, d[deleted])
	p.v[valuePeak] = max(p.v[valuePeak], saturate(int64(math.Round(float64(d[sent])/s.seconds))))
	p.v[valueLeft] = saturate(s.left)
	p.v[valueMostLeft] = max(p.v[valueMostLeft], saturate(s.left))
	p.v[valueQueues] = saturate(s.queues)
}

// saturate is n as far as a point can hold it.
func saturate(n int64) uint32 { return uint32(min(max(n, 0), 1<<32-1)) }

// plus adds q, of the same time.
func (p *point) plus(q *point) {
	for v := range p.v {
		p.v[v] = saturate(int64(p.v[v]) + int64(q.v[v]))
	}
}

// series is what was sampled of one key.
type series struct {
	kind  kind
	key   key
	prev  sums // at the last sample
	rings [spans]ring
}

func newSeries(of kind, k key) *series {
	s := &series{kind: of, key: k}
	for span := range s.rings {
		s.rings[span] = make(ring, spanPoints[span])
	}
	return s
}

// add makes x a part of the points of a time in Unix seconds.
func (s *series) add(x *sample, at int64) {
	for span, r := range s.rings {
		r.at(uint32(at / spanSeconds[span])).add(x)
	}
}

// merge adds the points of all that are sorted by time, those of one time together.
func merge(all []point) []point {
	slices.SortStableFunc(all, func(a, b point) int { return cmp.Compare(a.stamp, b.stamp) })
	list := all[:0]
	for _, p := range all {
		if n := len(list); n > 0 && list[n-1].stamp == p.stamp {
			list[n-1].plus(&p)
		} else {
			list = append(list, p)
		}
	}
	return list
}
