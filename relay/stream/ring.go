package stream

import (
	"strconv"
	"sync"
)

// ring holds the newest records, as lines of JSON. It has a bound of bytes and one of records; a new record pushes the oldest out. Its
// mutex is held for a copy and never over I/O.
type ring struct {
	mu     sync.Mutex
	buf    []byte  // a power of two of bytes
	index  []entry // a power of two of records
	first  uint64  // position of the oldest record
	next   uint64  // position of the next one
	head   uint64  // bytes ever appended
	base   Totals  // of all records before first
	totals Totals  // of all records before next
	stamp  [32]byte
}

// entry is where a record begins, in bytes ever appended, and what it counts.
type entry struct {
	at   uint64
	n    uint32
	kind Kind
}

// usualRecord is how long most records are, in bytes; the index has one entry for so many.
const usualRecord = 256

// newRing makes a ring of size bytes at most, which begins at a position and with totals. size is at least 2 records.
func newRing(size int, position uint64, totals Totals) *ring {
	bytes := 1 << 16
	for bytes*2 <= size {
		bytes *= 2
	}
	return &ring{
		buf: make([]byte, bytes), index: make([]entry, bytes/usualRecord),
		first: position, next: position, base: totals, totals: totals,
	}
}

// open is how every record begins. Its position follows.
const open = `{"position":`

// append adds a record: rest is what stands behind its position, the newline included. What is longer than the ring is counted and
// not kept.
func (r *ring) append(k Kind, n uint32, rest []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	number := strconv.AppendUint(r.stamp[:0], r.next, 10)
	need := uint64(len(open) + len(number) + len(rest))
	if need > uint64(len(r.buf)) {
		r.skipLocked(k, n)
		return
	}
	for r.first < r.next && (r.head+need-r.entry(r.first).at > uint64(len(r.buf)) || r.next-r.first == uint64(len(r.index))) {
		r.drop()
	}
	*r.entry(r.next) = entry{r.head, n, k}
	r.copyIn([]byte(open))
	r.copyIn(number)
	r.copyIn(rest)
	r.next++
	r.totals.add(k, n)
}

// skip counts a record without keeping it: nobody reads. All readers to come begin behind it.
func (r *ring) skip(k Kind, n uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipLocked(k, n)
}

func (r *ring) skipLocked(k Kind, n uint32) {
	r.next++
	r.totals.add(k, n)
	r.first, r.base = r.next, r.totals
}

// drop forgets the oldest record. The mutex is held.
func (r *ring) drop() {
	e := r.entry(r.first)
	r.base.add(e.kind, e.n)
	r.first++
}

func (r *ring) entry(position uint64) *entry { return &r.index[position&uint64(len(r.index)-1)] }

// end is where the record at a position ends. The mutex is held.
func (r *ring) end(position uint64) uint64 {
	if position+1 == r.next {
		return r.head
	}
	return r.entry(position + 1).at
}

func (r *ring) copyIn(b []byte) {
	at := r.head & uint64(len(r.buf)-1)
	n := copy(r.buf[at:], b)
	copy(r.buf, b[n:])
	r.head += uint64(len(b))
}

// cursor is how far a reader has come.
type cursor struct {
	next   uint64 // position of the record that it reads next
	totals Totals // of all records before that one
}

// batch is records on their way to a reader. Its memory is used again.
type batch struct {
	data    []byte
	records []record
}

// record is one record of a batch.
type record struct {
	position uint64
	kind     Kind
	end      int // where it ends in data, its newline included
}

func (b *batch) reset() { b.data, b.records = b.data[:0], b.records[:0] }

// each gives the records one by one, until yield returns false.
func (b *batch) each(yield func(r record, line []byte) bool) {
	from := 0
	for _, r := range b.records {
		if !yield(r, b.data[from:r.end]) {
			return
		}
		from = r.end
	}
}

// maxBatch is how many bytes of records a reader takes at a time: so many are copied under the mutex in a few microseconds.
const maxBatch = 128 << 10

// read appends the records behind c to b, maxBatch bytes of them or a little more, and moves c. It reads nothing when the ring has not
// the next record any more.
func (r *ring) read(c *cursor, b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.next < r.first || c.next >= r.next {
		return
	}
	from := r.entry(c.next).at
	to := from
	for c.next < r.next && to-from < maxBatch {
		e := r.entry(c.next)
		to = r.end(c.next)
		b.records = append(b.records, record{c.next, e.kind, len(b.data) + int(to-from)})
		c.totals.add(e.kind, e.n)
		c.next++
	}
	b.data = r.copyOut(b.data, from, to)
}

func (r *ring) copyOut(b []byte, from, to uint64) []byte {
	at, n := from&uint64(len(r.buf)-1), to-from
	if over := at + n; over > uint64(len(r.buf)) {
		return append(append(b, r.buf[at:]...), r.buf[:over-uint64(len(r.buf))]...)
	}
	return append(b, r.buf[at:at+n]...)
}

// catchUp moves c to the oldest record that is left, if its own is gone, and returns how many it has missed.
func (r *ring) catchUp(c *cursor) (missed uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.next >= r.first {
		return 0
	}
	missed = r.first - c.next
	c.next, c.totals = r.first, r.base
	return missed
}

// reach is the positions of the oldest record that is left and of the one to come.
func (r *ring) reach() (first, next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first, r.next
}

// ahead is a cursor at the next record to come.
func (r *ring) ahead() cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return cursor{r.next, r.totals}
}
