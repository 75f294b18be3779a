package relay

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type ranked struct {
	rank  int
	place int32
}

// TestHeap: whatever is done to a heap, what comes out is in order, and everything knows its place.
func TestHeap(t *testing.T) {
	h := NewHeap(func(a, b *ranked) bool { return a.rank < b.rank }, func(r *ranked) *int32 { return &r.place })
	var in []*ranked
	for range 5000 {
		switch op := rand.IntN(4); {
		case op < 2:
			r := &ranked{rank: rand.IntN(1000)}
			h.Insert(r)
			in = append(in, r)
		case len(in) == 0:
		case op == 2:
			i := rand.IntN(len(in))
			h.Remove(in[i])
			if in[i].place != -1 {
				t.Fatal("what was taken out has a place")
			}
			in = slices.Delete(in, i, i+1)
		default:
			r := in[rand.IntN(len(in))]
			r.rank = rand.IntN(1000)
			h.Moved(r)
		}
		for i, r := range h.all {
			if int(r.place) != i || i > 0 && r.rank < h.all[(i-1)/2].rank {
				t.Fatalf("out of order at %d", i)
			}
		}
	}
	for last := 0; h.Len() > 0; {
		r := h.First()
		if r != h.Shift() || r.rank < last || r.place != -1 {
			t.Fatalf("%+v after %d", r, last)
		}
		last = r.rank
	}
}
