package relay

import "time"

// instant is a point in time by the monotonic clock, in nanoseconds, so that nothing that waits moves when the wall clock is
// corrected. It takes a third of the memory of a Time. 0: none.
type instant int64

// beginning is from where instants are counted.
var beginning = time.Now()

// instantOf is the instant t. A time from a record is one of the wall clock as it is now.
func instantOf(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	now := time.Now()
	if i := instant(now.Sub(beginning) + t.Sub(now)); i != 0 {
		return i
	}
	return 1
}

// time is the time of both clocks that i has now.
func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	now := time.Now()
	return now.Add(time.Duration(i) - now.Sub(beginning))
}
