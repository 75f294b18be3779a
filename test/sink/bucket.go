package sink

import (
	"sync"
	"time"
)

// bucket is a token bucket. It holds at most the tokens of one second.
type bucket struct {
	perSecond float64

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newBucket(perSecond int) *bucket {
	return &bucket{perSecond: float64(perSecond), tokens: float64(perSecond)}
}

// take takes a token and reports whether there was one.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.tokens = min(b.perSecond, b.tokens+now.Sub(b.last).Seconds()*b.perSecond)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
