package relay

// Heap keeps things of which the first must come out first, like what is due next. Each thing knows its place, so that it can be
// taken out of the middle. Whoever uses a Heap guards it by a mutex.
type Heap[T any] struct {
	all    []T
	before func(a, b T) bool
	place  func(T) *int32 // where a thing keeps its place
}

// NewHeap returns an empty Heap in the order of before. place says where a thing keeps its place in the Heap; the number there is
// at least 0 while the thing is in it, and -1 from its end on.
func NewHeap[T any](before func(a, b T) bool, place func(T) *int32) *Heap[T] {
	return &Heap[T]{before: before, place: place}
}

// Len is how many things are in h.
func (h *Heap[T]) Len() int { return len(h.all) }

// First is the thing that comes out first. There must be one.
func (h *Heap[T]) First() T { return h.all[0] }

// Insert puts x in.
func (h *Heap[T]) Insert(x T) {
	h.all = append(h.all, x)
	*h.place(x) = int32(len(h.all) - 1)
	h.Moved(x)
}

// Moved finds the new place of x, whose rank has changed.
func (h *Heap[T]) Moved(x T) {
	i := int(*h.place(x))
	for ; i > 0 && h.before(x, h.all[(i-1)/2]); i = (i - 1) / 2 {
		h.set(i, h.all[(i-1)/2])
	}
	for {
		child := 2*i + 1
		if child+1 < len(h.all) && h.before(h.all[child+1], h.all[child]) {
			child++
		}
		if child >= len(h.all) || !h.before(h.all[child], x) {
			break
		}
		h.set(i, h.all[child])
		i = child
	}
	h.set(i, x)
}

func (h *Heap[T]) set(i int, x T) {
	h.all[i] = x
	*h.place(x) = int32(i)
}

// Remove takes x out.
func (h *Heap[T]) Remove(x T) {
	i, last := int(*h.place(x)), len(h.all)-1
	other := h.all[last]
	var none T
	h.all[last] = none
	h.all = h.all[:last]
	if i != last {
		h.set(i, other)
		h.Moved(other)
	}
	*h.place(x) = -1
}

// Shift takes the first thing out. There must be one.
func (h *Heap[T]) Shift() T {
	x := h.all[0]
	h.Remove(x)
	return x
}
