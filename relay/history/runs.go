package history

import "slices"

// tailSize is how many entries stand in no order. They are looked through one by one.
const tailSize = 4096

// runs are the entries of the segment that is being written: some in no order, the others in sorted runs, each over twice as long as the
// next. An entry is moved a dozen times until its segment is closed.
type runs struct {
	tail   []uint64
	sorted [][]uint64
}

func (r *runs) add(entry uint64) {
	r.tail = append(r.tail, entry)
	if len(r.tail) == tailSize {
		r.settle()
	}
}

// settle makes a run of the tail.
func (r *runs) settle() {
	slices.Sort(r.tail)
	last := slices.Clone(r.tail)
	r.tail = r.tail[:0]
	for n := len(r.sorted); n > 0 && len(r.sorted[n-1]) <= 2*len(last); n = len(r.sorted) {
		last = merge(r.sorted[n-1], last)
		r.sorted = r.sorted[:n-1]
	}
	r.sorted = append(r.sorted, last)
}

// all returns every entry, sorted. No more may be added.
func (r *runs) all() []uint64 {
	slices.Sort(r.tail)
	last := r.tail
	for _, run := range slices.Backward(r.sorted) {
		last = merge(run, last)
	}
	r.tail, r.sorted = nil, [][]uint64{last}
	return last
}

// size is how many entries there are.
func (r *runs) size() int {
	n := len(r.tail)
	for _, run := range r.sorted {
		n += len(run)
	}
	return n
}

// find returns the offsets of a key, the largest first.
func (r *runs) find(k key) (offsets []int64) {
	from, to := k.entry(0), k.entry(maxSegment-1)
	for _, e := range r.tail {
		if from <= e && e <= to {
			offsets = append(offsets, int64(e&(maxSegment-1)))
		}
	}
	for _, run := range r.sorted {
		at, _ := slices.BinarySearch(run, from)
		for ; at < len(run) && run[at] <= to; at++ {
			offsets = append(offsets, int64(run[at]&(maxSegment-1)))
		}
	}
	slices.Sort(offsets)
	slices.Reverse(offsets)
	return offsets
}

func merge(a, b []uint64) []uint64 {
	all := make([]uint64, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] <= b[0] {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}
