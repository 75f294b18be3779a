package pool

import (
	"errors"
	"math"
	"time"
)

// A daily plan must hold over a crash, and nothing may be written for each recipient. So a source spends in blocks. A block is
// counted in the kept state before any of it is used: what a start finds there is never less than what was spent. A crash
// wastes what is left of the blocks, for each provider at most an eighth of the day's plan. A clean stop keeps exact figures.
//
// Providers whose block was never asked for stand in the kept state together, as "others": a start counts a block for each.
// So the first recipient at one of 100,000 providers waits for no write.

const (
	// blocksPerDay is how many blocks a day's plan has. Each block costs a write before it, and a part of one after a crash.
	blocksPerDay = 8
	// keepPatience is how long Spend waits for a block to be kept. A disk that needs longer has stopped the journal too.
	keepPatience = 5 * time.Second
	// maxPages is how many days a book remembers: a clock that is set back over midnight finds what was spent.
	maxPages = 3
	// maxCounts bounds the providers of a page. Mail for any further one does not go by a source in warm-up that day.
	maxCounts = 100_000
	// allSpent stands for more than any plan allows.
	allSpent = math.MaxInt / 2
)

// errUnkept is Conclude's error when a write does not end.
var errUnkept = errors.New("what was spent cannot be kept: the write before has not ended")

// book counts what a source has spent. Sources.mu guards it.
type book struct {
	pages   []*page
	ahead   int // by the kept state, each provider may have spent so much on a day that has no page there
	offered int // the most that any state said of it
}

// page is one day of a book.
type page struct {
	day     Day
	counts  map[string]*count
	floor   int  // spent at a provider that has no count: a crash may have lost it
	kept    bool // the kept state has this page
	others  int  // by the page there, each provider without a count may have spent so much
	offered int  // the most that any state said of it
}

// count is what one provider has had on one day.
type count struct {
	spent   int
	waiting int  // recipients whose Spend waits for a block
	kept    bool // the kept state has this count
	block   int  // by the count there, so much may be spent
	offered int  // the most that any state said of it
}

// page is the page of a day. A new day has a new page, and the oldest makes room for it.
func (b *book) page(day Day) *page {
	if p := b.existing(day); p != nil {
		return p
	}
	if len(b.pages) == maxPages {
		oldest := 0
		for i, p := range b.pages {
			if p.day < b.pages[oldest].day {
				oldest = i
			}
		}
		b.pages = append(b.pages[:oldest], b.pages[oldest+1:]...)
	}
	p := &page{day: day, counts: make(map[string]*count)}
	b.pages = append(b.pages, p)
	return p
}

// existing is the page of a day, nil for none.
func (b *book) existing(day Day) *page {
	for _, p := range b.pages {
		if p.day == day {
			return p
		}
	}
	return nil
}

// spent is what the provider has had.
func (p *page) spent(provider string) int {
	switch c := p.counts[provider]; {
	case c != nil:
		return c.spent
	case len(p.counts) >= maxCounts:
		return allSpent
	default:
		return p.floor
	}
}

// countOf is the provider's count, made when there is none.
func (p *page) countOf(provider string) *count {
	c := p.counts[provider]
	if c == nil {
		c = &count{spent: p.floor}
		p.counts[provider] = c
	}
	return c
}

// secured is how far c may go without a further write. c belongs to p, and p to b.
func (b *book) secured(p *page, c *count) int {
	switch {
	case c.kept:
		return c.block
	case p.kept:
		return p.others
	default:
		return b.ahead
	}
}

// block is how much of a day's plan is counted as spent before it is used.
func (w *Warmup) block(day Day) int {
	limit := w.limit(day)
	if limit == noLimit {
		return 0
	}
	return (limit + blocksPerDay - 1) / blocksPerDay
}

// limit is today's plan for the provider, noLimit when there is none. Sources.mu is held.
func (s *Source) limit(provider string, day Day) int {
	if w := planFor(s.terms.Load().Warmup, provider); w != nil {
		return w.limit(day)
	}
	return noLimit
}

// room is how many recipients the plan leaves the provider. Sources.mu is held.
func (s *Source) room(provider string, day Day) int {
	limit := s.limit(provider, day)
	switch {
	case limit == noLimit:
		return noLimit
	case s.all.concluded:
		return 0
	}
	if p := s.book.existing(day); p != nil {
		return max(limit-p.spent(provider), 0)
	}
	return limit
}

// Spend counts recipients that are about to be tried at the provider. It reports false, and counts nothing, when today's plan
// has no room for them: until midnight of this host's time zone. Eight times a day and provider it waits for a write of the
// kept state, so no lock may be held over it; it reports false too when that write fails.
func (s *Source) Spend(provider string, recipients int, now time.Time) bool {
	var late <-chan time.Time
	for {
		ok, c, f := s.spend(provider, recipients, dayOf(now, s.all.zone))
		if f == nil {
			return ok
		}
		if late == nil {
			timer := time.NewTimer(keepPatience)
			defer timer.Stop()
			late = timer.C
		}
		kept := f.await(late)
		s.all.mu.Lock()
		c.waiting -= recipients
		s.all.mu.Unlock()
		if !kept {
			return false
		}
	}
}

// spend is Spend without the wait. When a block must be kept first, it returns the write to wait for, and has counted the
// recipients as waiting in c.
func (s *Source) spend(provider string, recipients int, day Day) (ok bool, c *count, f *flight) {
	all := s.all
	all.mu.Lock()
	defer all.mu.Unlock()
	switch room := s.room(provider, day); {
	case room == noLimit:
		return true, nil, nil
	case room < recipients:
		return false, nil, nil
	}
	p := s.book.page(day)
	c = p.countOf(provider)
	if all.write != nil && c.spent+recipients > s.book.secured(p, c) {
		c.waiting += recipients
		return false, c, all.secure(day)
	}
	c.spent += recipients
	return true, c, nil
}

// Unspend takes back what Spend counted, because the recipients were not tried. at is the time that Spend was given, whose day
// may be over.
func (s *Source) Unspend(provider string, recipients int, at time.Time) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	p := s.book.existing(dayOf(at, s.all.zone))
	if p == nil {
		return
	}
	if c := p.counts[provider]; c != nil {
		c.spent = max(c.spent-recipients, p.floor)
	}
}

// flight is one write of the kept state, for which any number of Spend wait.
type flight struct {
	done chan struct{} // closed at its end
	err  error         // valid then
}

// await reports whether the write has ended well before late.
func (f *flight) await(late <-chan time.Time) bool {
	select {
	case <-f.done:
		return f.err == nil
	case <-late:
		return false
	}
}

// KeepWith says where the state is kept: write makes it durable before it returns nil. Without KeepWith the counters live in
// memory alone. It comes before the first Spend.
func (s *Sources) KeepWith(write func(state []byte) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write = write
}

// secure returns the write that is under way, or begins one. The mutex is held.
func (s *Sources) secure(today Day) *flight {
	if s.flying == nil {
		s.flying = &flight{done: make(chan struct{})}
		go s.fly(s.flying, today) // ends with the write
	}
	return s.flying
}

// fly writes the state, and adopts it when it is durable.
func (s *Sources) fly(f *flight, today Day) {
	s.mu.Lock()
	state, write := s.offer(today), s.write
	s.mu.Unlock()
	f.err = write(state.encode())
	s.mu.Lock()
	if f.err == nil {
		s.adopt(state)
	}
	s.flying = nil
	s.mu.Unlock()
	close(f.done)
}

// adopt notes that the state is kept. The mutex is held.
func (s *Sources) adopt(state *keptState) {
	for i := range state.Books {
		kept := &state.Books[i]
		if b := s.books[kept.identity()]; b != nil {
			b.adopt(kept)
		}
	}
}

func (b *book) adopt(kept *keptBook) {
	b.ahead = kept.Ahead
	for _, k := range kept.Pages {
		p := b.existing(k.Day)
		if p == nil {
			continue
		}
		p.kept, p.others = true, k.Others
		for provider, n := range k.Spent {
			if c := p.counts[provider]; c != nil {
				c.kept, c.block = true, n
			}
		}
	}
}

// Conclude ends the spending: no plan has room any more. It keeps exactly what was spent. It comes when nothing is sent any more.
func (s *Sources) Conclude(now time.Time) error {
	s.mu.Lock()
	s.concluded = true
	f, write := s.flying, s.write
	s.mu.Unlock()
	if write == nil {
		return nil
	}
	if f != nil {
		select {
		case <-f.done:
		case <-time.After(keepPatience):
			return errUnkept
		}
	}
	s.mu.Lock()
	state := s.offer(dayOf(now, s.zone))
	s.mu.Unlock()
	if len(state.Books) == 0 && !s.kept {
		return nil
	}
	return write(state.encode())
}
