package filter

import (
	"sync"
	"time"
)

// quiet keeps a log readable: each text passes once in an interval. Texts are constants, so the map stays small.
type quiet struct {
	mu   sync.Mutex
	said map[string]*said
}

// said is when a text last passed, and how often it was suppressed since.
type said struct {
	at         time.Time
	suppressed int
}

// allow reports whether text may be logged now, and how often it was suppressed since it last was.
func (q *quiet) allow(text string, now time.Time, interval time.Duration) (suppressed int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.said[text]
	if s == nil {
		if q.said == nil {
			q.said = make(map[string]*said)
		}
		q.said[text] = &said{at: now}
		return 0, true
	}
	if now.Sub(s.at) < interval {
		s.suppressed++
		return 0, false
	}
	suppressed, s.suppressed, s.at = s.suppressed, 0, now
	return suppressed, true
}
