package relay

import "slices"

// Top keeps, of very many things, so many that come first.
type Top[T any] struct {
	most    int
	compare func(a, b T) int
	list    []T
	cut     bool // what comes behind list[most-1] is not wanted
}

// NewTop returns an empty Top for so many things, or for 0 for all.
func NewTop[T any](most int, compare func(a, b T) int) *Top[T] {
	return &Top[T]{most: most, compare: compare}
}

// Add keeps x for now. The list is cut when it has become twice as long as it may be, so that nobody who walks over a million
// things keeps them all, or sorts for each.
func (t *Top[T]) Add(x T) {
	if t.cut && t.compare(x, t.list[t.most-1]) > 0 {
		return
	}
	if t.list = append(t.list, x); t.most > 0 && len(t.list) >= 2*t.most {
		t.List()
	}
}

// List is those that come first, in order.
func (t *Top[T]) List() []T {
	slices.SortFunc(t.list, t.compare)
	if t.most > 0 && len(t.list) >= t.most {
		clear(t.list[t.most:])
		t.list, t.cut = t.list[:t.most], true
	}
	return t.list
}
