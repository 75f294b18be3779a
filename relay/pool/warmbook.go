package pool

import (
	"time"
)

// book counts what a source has spent, day by day. Sources.mu guards it.
type book struct{ pages []*page }

// page is one day of a book.
type page struct {
	day    Day
	counts map[string]int
}

// page is the page of a day. It is a new one when the day is new.
func (b *book) page(day Day) *page {
	for _, p := range b.pages {
		if p.day == day {
			return p
		}
	}
	p := &page{day: day, counts: make(map[string]int)}
	b.pages = append(b.pages, p)
	return p
}

func (p *page) spent(provider string) int { return p.counts[provider] }

// room is how many recipients the plan leaves the provider. The mutex is held.
func (s *Source) room(provider string, day Day) int {
	w := planFor(s.terms.Load().Warmup, provider)
	if w == nil {
		return noLimit
	}
	if limit := w.limit(day); limit != noLimit {
		return limit - s.book.page(day).spent(provider)
	}
	return noLimit
}

// Spend counts recipients that are about to be tried at the provider. It reports false, and counts nothing, when today's plan
// has no room for them: until midnight of this host's time zone.
func (s *Source) Spend(provider string, recipients int, now time.Time) bool {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	day := dayOf(now, s.all.zone)
	switch room := s.room(provider, day); {
	case room == noLimit:
		return true
	case room < recipients:
		return false
	}
	s.book.page(day).counts[provider] += recipients
	return true
}

// Unspend takes back what Spend counted, because the recipients were not tried. at is the time that Spend was given: its day
// may be over.
func (s *Source) Unspend(provider string, recipients int, at time.Time) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	p := s.book.page(dayOf(at, s.all.zone))
	p.counts[provider] = max(p.counts[provider]-recipients, 0)
}

// Learned is what the counters say, for the next start. Kept state must hold it: see [Sources.KeepWith].
func (s *Sources) Learned(now time.Time) []byte { return nil }

// Recall takes back what an earlier process has Learned. It comes before the first Spend.
func (s *Sources) Recall(kept []byte, now time.Time) error { return nil }

// KeepWith says how what Learned returns is made durable: write has Learned called, and returns when its result is durable.
// Without it the counters live in memory alone.
func (s *Sources) KeepWith(write func() error) {}

// Conclude ends the spending: from here on Spend reports false for every plan, and Learned gives exact figures.
func (s *Sources) Conclude() {}

// Lacking says why Choose named no source, for the log and for whoever waits.
func (s *Sources) Lacking(names []string, provider string, now time.Time) string { return "" }
