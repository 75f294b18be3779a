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

// Weight is the bytes that the index takes: none before the first Split and after Forget, later 4 for each byte of the view at most.
func (r *Reference) Weight() int {
	if x := r.index.Load(); x != nil {
		return 4 * len(x.slots)
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

// stride is how far apart the grams in an index begin. A match that is longer by that much is found all the same.
const stride = 2

// index finds grams of a view that stand in it only once. A slot has the place of one of the grams with a hash, plus one; none for
// no gram; twice for one that stands in the view more than once.
type index struct {
	view  []byte
	slots []uint32
	shift uint
}

const (
	none  = 0
	twice = 1<<32 - 1
)

func newIndex(view []byte) *index {
	size := bits.Len(uint(max(len(view)/stride, 1) - 1)) // as many slots as grams, rounded up to a power of two
	x := &index{view: view, slots: make([]uint32, 1<<size), shift: uint(64 - size)}
	for at := 0; at+gram <= len(view) && at < twice-1; at += stride {
		x.add(at)
	}
	return x
}

// add puts a gram into its slot. Of two grams for one slot the first stays.
func (x *index) add(at int) {
	g := load(x.view, at)
	slot := &x.slots[hash(g)>>x.shift]
	switch {
	case *slot == none:
		*slot = uint32(at) + 1
	case *slot != twice && load(x.view, int(*slot)-1) == g:
		*slot = twice
	}
}

// find returns the place of a gram, or -1.
func (x *index) find(g uint64) int {
	slot := x.slots[hash(g)>>x.shift]
	if slot == none || slot == twice || load(x.view, int(slot)-1) != g {
		return -1
	}
	return int(slot) - 1
}

func load(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

func hash(g uint64) uint64 { return g * 0x9e3779b97f4a7c15 }
