package route

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestBacklogOrder(t *testing.T) {
	b := backlog{limit: 100}
	for range everyEighth {
		for _, l := range []lane{slow, again, fresh, familiar} {
			b.push(&job{lane: l})
		}
	}
	var order []lane
	for j := b.pop(false); j != nil; j = b.pop(false) {
		order = append(order, j.lane)
	}
	// What is known first, then what is new; each eighth is one that stepped aside.
	var want []lane
	for i := range 3 * everyEighth {
		switch {
		case i%everyEighth == everyEighth-1 || i > 2*everyEighth+1:
			want = append(want, again)
		case i < everyEighth+1:
			want = append(want, familiar)
		default:
			want = append(want, fresh)
		}
	}
	if !slices.Equal(order, want) {
		t.Errorf("jobs came as\n%v, want\n%v", order, want)
	}
	for range everyEighth {
		if j := b.pop(true); j == nil || j.lane != slow {
			t.Errorf("slow one: %+v", j)
		}
	}
	if b.pop(true) != nil || b.len() != 0 {
		t.Errorf("%d left", b.len())
	}
}

func TestBacklogLimit(t *testing.T) {
	b := backlog{limit: 1}
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
