package delta

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Reference is the view of an earlier message of a campaign. Any number of goroutines may use it at once.
type Reference struct {
	view  []byte
	build sync.Mutex
	index atomic.Pointer[index]
}

// NewReference returns the reference with this view. It keeps view, which must not be changed.
func NewReference(view []byte) *Reference { return &Reference{view: view} }

// View is the view that NewReference got.
func (r *Reference) View() []byte { return r.view }

// Weight is the bytes that the index takes: none before the first Split and after Forget, later 4 for each byte of the view at
// most.
func (r *Reference) Weight() int {
	if x := r.index.Load(); x != nil {
		return slotSize * len(x.slots)
	}
	return 0
}

// Forget drops the index. The next Split makes it again.
func (r *Reference) Forget() { r.index.Store(nil) }

// indexed returns the index, and makes it first if it must.
func (r *Reference) indexed() *index {
	if x := r.index.Load(); x != nil {
		return x
	}
	r.build.Lock()
	defer r.build.Unlock()
	x := r.index.Load()
	if x == nil {
		x = newIndex(r.view)
		r.index.Store(x)
	}
	return x
}

// gram is how many bytes are compared and looked up at once.
const gram = 8

// index finds grams of a view that stand in it only once. It knows each stride-th gram, so that a match of gram+stride bytes is
// found wherever it begins. A slot has the number of one of the grams with a hash, plus one, and other bits of the hash.
type index struct {
	view   []byte
	slots  []uint32
	shift  uint // what makes a slot of a hash
	stride int
}

const (
	numberBits  = 20
	none        = 0                 // number of no gram
	twice       = 1<<numberBits - 1 // number of a gram that stands in the view more than once
	leastStride = 2
)

// slotSize is the bytes of a slot.
const slotSize = 4

// dimensions says how far apart the grams of a view stand that are in its index, and how many bits number the slots: as many as grams,
// rounded up to a power of two.
func dimensions(view []byte) (stride, size int) {
	stride = max(leastStride, len(view)/(twice-2)+1)
	return stride, bits.Len(uint(max(len(view)/stride, 2) - 1))
}

// IndexWeight is the bytes that the index takes when there is one.
func (r *Reference) IndexWeight() int {
	_, size := dimensions(r.view)
	return slotSize << size
}

func newIndex(view []byte) *index {
	stride, size := dimensions(view)
	x := &index{view: view, slots: make([]uint32, 1<<size), shift: uint(64 - size), stride: stride}
	for at, number := 0, uint32(1); at+gram <= len(view); at, number = at+stride, number+1 {
		x.add(at, number)
	}
	return x
}

// add puts a gram into its slot. Of two grams for one slot the first stays.
func (x *index) add(at int, number uint32) {
	g := load(x.view, at)
	h := hash(g)
	slot := &x.slots[h>>x.shift]
	switch was := *slot & twice; {
	case was == none:
		*slot = uint32(h)&^twice | number
	case was != twice && load(x.view, x.place(was)) == g:
		*slot |= twice
	}
}

// place is where in the view a gram is.
func (x *index) place(number uint32) int { return (int(number) - 1) * x.stride }

// find returns the place of a gram, or -1.
func (x *index) find(g uint64) int {
	h := hash(g)
	slot := x.slots[h>>x.shift]
	number := slot & twice
	if (slot^uint32(h))&^twice != 0 || number == none || number == twice {
		return -1
	}
	if at := x.place(number); load(x.view, at) == g {
		return at
	}
	return -1
}

// has reports whether a gram is in the view, once or more often. It may be wrong, rarely.
func (x *index) has(g uint64) bool {
	h := hash(g)
	slot := x.slots[h>>x.shift]
	return (slot^uint32(h))&^twice == 0 && slot&twice != none
}

func load(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at : at+gram : at+gram]) }

func hash(g uint64) uint64 { return g * 0x9e3779b97f4a7c15 }
