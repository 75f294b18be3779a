package route

import (
	"sync"
	"sync/atomic"
	"time"
)

// memo remembers the answers about MX hosts. Millions of domains share a few
// thousand hosts: without it each domain would ask for them anew.
type memo struct {
	rules *atomic.Pointer[rules]

	mu   sync.Mutex // all lookups share the memo; it is never held during a lookup
	kept *lru[question, remembered]
}

// remembered is an answer and the time it holds for.
type remembered struct {
	answer answer
	born   time.Time
	until  time.Time
}

func newMemo(rules *atomic.Pointer[rules]) *memo {
	m := &memo{rules: rules}
	m.forget()
	return m
}

// forget empties the memo: other name servers, or other rules, may bring other answers.
func (m *memo) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = newLRU[question, remembered](m.rules.Load().Entries)
}

// fresh finds an answer in the first half of its life, its TTL reduced to the time
// that is left. An older answer is asked for again: a route that is refreshed ahead
// of its time must not get the last seconds of an old answer.
func (m *memo) fresh(q question, now time.Time) (answer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.kept.get(q)
	left := r.until.Sub(now)
	if !ok || left < r.until.Sub(r.born)/2 {
		return answer{}, false
	}
	r.answer.ttl = left
	return r.answer, true
}

// keep remembers an answer that says something about the name, and returns it. In
// place of a soft answer it returns an older one, if there is one (RFC 8767).
func (m *memo) keep(q question, a answer, now time.Time) answer {
	cfg := m.rules.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.kind.soft() {
		if r, ok := m.kept.get(q); ok && now.Before(r.until.Add(cfg.MaxStale)) {
			r.answer.ttl = cfg.MinTTL
			return r.answer
		}
		return a
	}
	m.kept.put(q, remembered{a, now, now.Add(cfg.clamp(a.ttl))})
	return a
}
