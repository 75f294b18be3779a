package relay

import (
	"hash/maphash"
	"slices"
	"sort"
	"sync"
)

// index finds every message that is here by its ID, in the order of the IDs, which is that in which they were taken, and by the
// MTA's queue id. It takes about 24 bytes a message, half of them for the queue ids.
//
// The messages stand in pages, in order, as in the leaves of a B-tree. The index of the pages is one slice: of ten million
// messages it has 80,000 entries, and a new page nearly always comes last.
type index struct {
	mu    sync.Mutex
	pages []pageEntry
	names names
}

// pageEntry is a page, and an ID that is not larger than any in it, and larger than every one in the page before. All IDs of a
// page have the same upper half.
type pageEntry struct {
	from ID
	*page
}

// pageSize is how many messages a page holds: with them it fills a block of the allocator.
const pageSize = 126

// page is some messages in the order of their IDs.
type page struct {
	n    int
	low  [pageSize]uint32 // the lower halves of the IDs, so that a search looks at no message
	msgs [pageSize]*Message
}

func newIndex(seed maphash.Seed) *index { return &index{names: newNames(seed)} }

// add takes m in.
func (x *index) add(m *Message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.pageFor(m.ID)
	p.insert(m)
	if m.QueueID() != "" {
		x.names.add(m.QueueID(), m.ID)
	}
}

// pageFor finds or makes the page into which id belongs, and room in it. The mutex is held.
func (x *index) pageFor(id ID) *page {
	i := x.pageOf(id)
	switch {
	case x.akin(i, id):
	case x.akin(i+1, id):
		i++
		x.pages[i].from = id
	default:
		return x.insert(i+1, id)
	}
	switch {
	case x.pages[i].n < pageSize:
		return x.pages[i].page
	case id > x.pages[i].last():
		return x.insert(i+1, id) // what comes in order leaves full pages behind
	}
	return x.split(i, id)
}

// insert makes a page at place i.
func (x *index) insert(i int, from ID) *page {
	e := pageEntry{from, new(page)}
	x.pages = slices.Insert(x.pages, i, e)
	return e.page
}

// split moves half of page i into a page behind it, and returns that of the two into which id belongs.
func (x *index) split(i int, id ID) *page {
	full := x.pages[i].page
	const middle = pageSize / 2
	from := full.msgs[middle].ID
	next := x.insert(i+1, from)
	next.take(full, middle)
	if id < from {
		return full
	}
	return next
}

// akin reports whether there is a page i, and its IDs have the upper half of id.
func (x *index) akin(i int, id ID) bool {
	return i >= 0 && i < len(x.pages) && x.pages[i].from>>32 == id>>32
}

// pageOf is the place of the only page that may have id, -1 for none.
func (x *index) pageOf(id ID) int {
	if n := len(x.pages); n > 0 && x.pages[n-1].from <= id { // the usual case
		return n - 1
	}
	return sort.Search(len(x.pages), func(i int) bool { return x.pages[i].from > id }) - 1
}

// remove takes m out.
func (x *index) remove(m *Message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := x.pageOf(m.ID)
	if !x.akin(i, m.ID) || !x.pages[i].remove(m.ID) {
		return
	}
	if x.pages[i].n == 0 {
		x.drop(i)
	} else if !x.merge(i) && i > 0 {
		x.merge(i - 1)
	}
	if m.QueueID() != "" {
		x.names.remove(m.QueueID())
	}
}

// drop takes page i away. The shorter side of the slice moves: most mail leaves in the order in which it came.
func (x *index) drop(i int) {
	if i >= len(x.pages)/2 {
		x.pages = slices.Delete(x.pages, i, i+1)
		return
	}
	copy(x.pages[1:], x.pages[:i])
	x.pages[0] = pageEntry{}
	x.pages = x.pages[1:]
}

// merge puts page i and the next one together if both fill no more than three quarters of one, and reports whether it did.
func (x *index) merge(i int) bool {
	if !x.akin(i+1, x.pages[i].from) || x.pages[i].n+x.pages[i+1].n > pageSize*3/4 {
		return false
	}
	x.pages[i].take(x.pages[i+1].page, 0)
	x.drop(i + 1)
	return true
}

// byID is the message of that ID, or nil.
func (x *index) byID(id ID) *Message {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.get(id)
}

// get is byID under the mutex.
func (x *index) get(id ID) *Message {
	i := x.pageOf(id)
	if !x.akin(i, id) {
		return nil
	}
	if k, ok := x.pages[i].find(id); ok {
		return x.pages[i].msgs[k]
	}
	return nil
}

// last is the largest ID, 0 when there is none.
func (x *index) last() ID {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.pages) == 0 {
		return 0
	}
	return x.pages[len(x.pages)-1].last()
}

// from fills some with the messages that have the given ID or a larger one, in order.
func (x *index) from(id ID, some []*Message) []*Message {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := max(x.pageOf(id), 0)
	for ; i < len(x.pages) && len(some) < cap(some); i++ {
		p, k := x.pages[i].page, 0
		if x.pages[i].from < id {
			k = sort.Search(p.n, func(k int) bool { return p.msgs[k].ID >= id })
		}
		some = append(some, p.msgs[k:min(p.n, k+cap(some)-len(some))]...)
	}
	return some
}

// named is the message with that queue id, or nil. sure is false when there may be several, and only a walk finds them.
func (x *index) named(name string) (m *Message, sure bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	low, ok, sure := x.names.find(name)
	if !ok || !sure {
		return nil, sure
	}
	for upper := range x.uppers {
		if m := x.get(upper | ID(low)); m != nil && m.QueueID() == name {
			return m, true
		}
	}
	return nil, true
}

// uppers yields the upper halves of all IDs: one for each start of the daemon from which mail is left.
func (x *index) uppers(yield func(ID) bool) {
	for i := 0; i < len(x.pages); {
		upper := x.pages[i].from &^ 0xffff_ffff
		if !yield(upper) {
			return
		}
		i = x.pageOf(upper|0xffff_ffff) + 1
	}
}

// last is the largest ID of the page, which has one.
func (p *page) last() ID { return p.msgs[p.n-1].ID }

// find is where id stands, or belongs. All IDs have the upper half of those in the page.
func (p *page) find(id ID) (k int, ok bool) { return slices.BinarySearch(p.low[:p.n], uint32(id)) }

// insert puts m into its place. There is room.
func (p *page) insert(m *Message) {
	k, ok := p.find(m.ID)
	if ok {
		p.msgs[k] = m
		return
	}
	copy(p.low[k+1:p.n+1], p.low[k:p.n])
	copy(p.msgs[k+1:p.n+1], p.msgs[k:p.n])
	p.low[k], p.msgs[k] = uint32(m.ID), m
	p.n++
}

func (p *page) remove(id ID) bool {
	k, ok := p.find(id)
	if ok {
		copy(p.low[k:], p.low[k+1:p.n])
		copy(p.msgs[k:], p.msgs[k+1:p.n])
		p.n--
		p.msgs[p.n] = nil
	}
	return ok
}

// take moves the messages of the next page from its k-th on behind those of p. There is room.
func (p *page) take(next *page, k int) {
	copy(p.low[p.n:], next.low[k:next.n])
	copy(p.msgs[p.n:], next.msgs[k:next.n])
	p.n += next.n - k
	clear(next.msgs[k:next.n])
	next.n = k
}
