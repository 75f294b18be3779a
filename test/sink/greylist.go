package sink

import (
	"sync"
	"time"
)

// maxGrey bounds the pairs in a greylist. A full greylist lets further pairs pass, as greylists in the field do.
const maxGrey = 1 << 20

type greyKey struct{ from, rcpt string }

// greylist remembers when a sender first wrote to a recipient.
type greylist struct {
	after time.Duration

	mu    sync.Mutex
	first map[greyKey]time.Time
}

func newGreylist(after time.Duration) *greylist {
	return &greylist{after: after, first: make(map[greyKey]time.Time)}
}

// passes reports whether the pair was first seen long enough ago. An unknown pair is remembered and does not pass.
func (g *greylist) passes(from, rcpt string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := greyKey{from, rcpt}
	first, known := g.first[key]
	if known {
		return now.Sub(first) >= g.after
	}
	if len(g.first) >= maxGrey {
		return true
	}
	g.first[key] = now
	return false
}
