package route

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestBacklogShares(t *testing.T) {
	b := backlog{limit: 10, share: 2}
	for range 6 {
		b.push(&job{lane: slow})
	}
	for _, l := range []lane{fresh, familiar, fresh} {
		b.push(&job{lane: l})
	}
	var order []lane
	var taken []*job
	for j := b.pop(); j != nil; j = b.pop() {
		order, taken = append(order, j.lane), append(taken, j)
	}
	// Slow ones up to their share, then all others, then up to twice the share.
	want := []lane{slow, slow, familiar, fresh, fresh, slow, slow}
	if !slices.Equal(order, want) {
		t.Errorf("jobs came as %v", order)
	}
	if b.len() != 2 {
		t.Errorf("%d left", b.len())
	}
	for _, j := range taken {
		b.done(j)
	}
	if b.busy != 0 {
		t.Errorf("busy %d after all are done", b.busy)
	}
}

func TestBacklogLimit(t *testing.T) {
	b := backlog{limit: 1, share: 1}
	for l := range lanes {
		if !b.push(&job{lane: l}) || b.push(&job{lane: l}) {
			t.Errorf("lane %d should take one", l)
		}
	}
}

func TestFIFO(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q fifo
		var model []*job
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if len(model) == 0 || rapid.Bool().Draw(t, "push") {
				j := new(job)
				q.push(j)
				model = append(model, j)
			} else if j := q.pop(); j != model[0] {
				t.Fatal("out of order")
			} else {
				model = model[1:]
			}
			if q.len() != len(model) {
				t.Fatalf("len %d, want %d", q.len(), len(model))
			}
		}
	})
}
