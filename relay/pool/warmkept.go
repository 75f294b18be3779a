package pool

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// keptVersion is the form of the kept state.
const keptVersion = 1

// keptState is what the counters of the sources are over a restart. No figure in it is less than what was spent when it became
// durable, or is spent until the next state is.
type keptState struct {
	Version int        `json:"version"`
	Books   []keptBook `json:"books,omitempty"`
}

// keptBook is the book of one source.
type keptBook struct {
	Name     string     `json:"name"`
	Address  string     `json:"address,omitempty"`
	Address6 string     `json:"address6,omitempty"`
	Ahead    int        `json:"ahead,omitempty"` // spent at each provider on a day without a page; 0: nothing was, after a clean stop
	Pages    []keptPage `json:"pages,omitempty"`
}

// keptPage is one day.
type keptPage struct {
	Day    Day            `json:"day"`
	Others int            `json:"others,omitempty"` // spent at each provider that Spent does not name
	Spent  map[string]int `json:"spent,omitempty"`
}

// identity is whose book it is. An address that cannot be read is none, so that the book fits no source.
func (k *keptBook) identity() identity {
	four, _ := netip.ParseAddr(k.Address)
	six, _ := netip.ParseAddr(k.Address6)
	return identity{k.Name, four, six}
}

// encode is the state as it is kept.
func (k *keptState) encode() []byte {
	data, err := json.Marshal(k)
	if err != nil {
		return nil // cannot be: the state has text and numbers alone
	}
	return data
}

// offer makes the state. It offers each provider that is served a block beyond what is spent, which may be used as soon as the
// state is durable. The mutex is held.
func (s *Sources) offer(today Day) *keptState {
	state := &keptState{Version: keptVersion}
	owner := make(map[*book]*Source)
	for _, src := range s.list {
		owner[src.book] = src
	}
	for id, b := range s.books {
		if owner[b] == nil && b.over(today) {
			delete(s.books, id)
			continue
		}
		kept := b.offer(owner[b], today, s.concluded)
		kept.Name, kept.Address, kept.Address6 = id.name, written(id.four), written(id.six)
		if kept.Ahead > 0 || len(kept.Pages) > 0 {
			state.Books = append(state.Books, kept)
		}
	}
	slices.SortFunc(state.Books, func(a, b keptBook) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Address6, b.Address6))
	})
	return state
}

// over reports whether the days of the book are over. The last one is not, while the clock may be set back to it.
func (b *book) over(today Day) bool {
	return !slices.ContainsFunc(b.pages, func(p *page) bool { return p.day >= today-1 })
}

// offer is the book as the state has it. src is the source in force, nil for none. exact says that nothing more is spent.
func (b *book) offer(src *Source, today Day, exact bool) (kept keptBook) {
	if !exact {
		b.offered = max(b.offered, src.smallestBlock(today))
		kept.Ahead = b.offered
	}
	for _, p := range b.pages {
		if !exact && !p.kept {
			p.offered = max(p.offered, b.offered) // what holds for the day until the state has its page
		}
		if k := p.offer(src, exact); k.Others > 0 || len(k.Spent) > 0 {
			kept.Pages = append(kept.Pages, k)
		}
	}
	return kept
}

// smallestBlock is a block of the smallest plan that the day has, 0 when there is none. It is for providers of any plan.
func (s *Source) smallestBlock(day Day) (least int) {
	if s == nil { // not in force
		return 0
	}
	plans := s.terms.Load().Warmup
	for i := range plans {
		if n := plans[i].block(day); n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// offer is the page as the state has it. src is nil for a source that is not in force. No figure falls while the daemon runs: a
// write that failed may have become durable, and what was adopted before it holds on.
func (p *page) offer(src *Source, exact bool) keptPage {
	kept := keptPage{Day: p.day, Others: p.floor, Spent: make(map[string]int)}
	if !exact {
		p.offered = max(p.offered, p.floor+src.smallestBlock(p.day))
		kept.Others = p.offered
	}
	for provider, c := range p.counts {
		n := c.spent
		if !exact {
			if !c.kept {
				c.offered = max(c.offered, p.offered) // what holds for the provider until the state has its count
			}
			c.offered = max(c.offered, c.spent+src.blockFor(provider, p.day, c))
			n = c.offered
		}
		kept.Spent[provider] = n
	}
	return kept
}

// blockFor is how much is counted as spent before it is used: a block and what waits for one, and no more than the plan has left.
func (s *Source) blockFor(provider string, day Day, c *count) int {
	if s == nil {
		return 0
	}
	w := planFor(s.terms.Load().Warmup, provider)
	if w == nil || w.limit(day) == noLimit {
		return 0
	}
	return max(min(w.block(day)+c.waiting, w.limit(day)-c.spent), 0)
}

// Recall takes over the state that an earlier process kept, nil for none. unread is why it could not be read. Recall comes once,
// before the first Spend. After an error nobody knows what was spent today, so no plan has room before midnight.
func (s *Sources) Recall(kept []byte, unread error, now time.Time) error {
	if kept == nil && unread == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = true
	today := dayOf(now, s.zone)
	state, err := decodeKept(kept)
	if err = cmp.Or(unread, err); err != nil {
		s.lost = today
		for _, b := range s.books {
			b.page(today).floor = allSpent
		}
		return fmt.Errorf("what the sources have spent today cannot be read, so none in warm-up sends before midnight: %w", err)
	}
	for i := range state.Books {
		s.book(state.Books[i].identity()).recall(&state.Books[i], today)
	}
	return nil
}

// decodeKept reads what encode wrote.
func decodeKept(kept []byte) (*keptState, error) {
	state := new(keptState)
	if err := json.Unmarshal(kept, state); err != nil {
		return nil, err
	}
	if state.Version != keptVersion {
		return nil, fmt.Errorf("version %d is not known", state.Version)
	}
	return state, nil
}

// book is the book of a source, made when there is none. The mutex is held.
func (s *Sources) book(id identity) *book {
	b := s.books[id]
	if b == nil {
		b = new(book)
		s.books[id] = b
		if s.lost != 0 {
			b.page(s.lost).floor = allSpent
		}
	}
	return b
}

// recall takes over what was kept. On a day that the state does not have, the process may have spent what it had ahead.
func (b *book) recall(kept *keptBook, today Day) {
	for _, k := range kept.Pages {
		p := b.page(k.Day)
		p.kept, p.floor = true, bounded(k.Others)
		p.others, p.offered = p.floor, p.floor
		for provider, n := range k.Spent {
			n = bounded(n)
			p.counts[provider] = &count{spent: n, kept: true, block: n, offered: n}
		}
	}
	if ahead := bounded(kept.Ahead); ahead > 0 && b.existing(today) == nil {
		p := b.page(today)
		p.floor, p.offered = ahead, ahead
	}
}

// bounded keeps figures of a damaged state from overflow.
func bounded(n int) int { return min(max(n, 0), allSpent) }
