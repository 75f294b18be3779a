package relay

import (
	"fmt"
	"sync"
	"time"
)

// leastRation is how many messages a minute expire at least that a reload has made overdue, and rationTime in how long all of them
// may: an admin who mistyped a lifetime has an hour to take it back, and few wait for longer than that.
const (
	leastRation = 100
	rationTime  = time.Hour
)

// ration spreads the end of the messages that a shorter lifetime has made overdue at once. Each of them expires with a visit that
// fails, as any other, but only so many a minute. One that finds no room waits for its next visit. At the end of the lifetime that
// it was taken under it needs no room.
type ration struct {
	since     time.Time     // of the shorter lifetime
	shorter   RetryConfig   // by which the messages are overdue
	whole     time.Duration // the lifetime they were taken under
	messages  int           // how many were made overdue
	perMinute int

	mu      sync.Mutex
	room    float64
	filled  time.Time // when room was counted last
	refused time.Time // when a message last found none
}

// newRation returns the ration for so many messages, nil for none.
func newRation(now time.Time, whole, shorter RetryConfig, messages int) *ration {
	if messages == 0 {
		return nil
	}
	each := int(rationTime / time.Minute)
	return &ration{
		since: now, shorter: shorter, whole: whole.Lifetime, messages: messages, filled: now,
		perMinute: max(leastRation, (messages+each-1)/each),
	}
}

// admits reports whether m may expire at now. It counts m if so.
func (r *ration) admits(m *Message, now time.Time) bool {
	if r == nil || r.shorter.expires(m).After(r.since) || !now.Before(m.ageFrom().Add(r.whole)) {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Room that nobody has used is kept for a minute, because the sweep comes once a minute, and no longer: it would all be used in
	// one moment.
	r.room = min(r.room+float64(r.perMinute)*now.Sub(r.filled).Minutes(), float64(r.perMinute))
	r.filled = now
	if r.room < 1 {
		r.refused = now
		return false
	}
	r.room--
	return true
}

// Rationed says why messages wait that are overdue by a lifetime that a reload has made shorter. The zero Reason: none does.
func (h *Handler) Rationed() Reason {
	p := h.policy.Load()
	if p.ration == nil {
		return Reason{}
	}
	p.ration.mu.Lock()
	refused := p.ration.refused
	p.ration.mu.Unlock()
	if refused.IsZero() || time.Since(refused) > p.retry.longest() {
		return Reason{}
	}
	return WaitFor(ReasonRation, "", fmt.Sprintf("a reload at %s has made %d messages overdue: at most %d of them a minute are returned; a longer retry.lifetime keeps the rest",
		p.ration.since.Format(time.TimeOnly), p.ration.messages, p.ration.perMinute), time.Time{})
}
