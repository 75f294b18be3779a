package relay

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTop: whatever the order, those that come first are kept, and few others.
func TestTop(t *testing.T) {
	for _, most := range []int{0, 1, 7, 100, 1000} {
		top, all := NewTop(most, cmp.Compare[int]), rand.Perm(500)
		for _, x := range all {
			if top.Add(x); most > 0 && len(top.list) >= 2*most {
				t.Fatalf("%d are kept of %d", len(top.list), most)
			}
		}
		slices.Sort(all)
		if most > 0 {
			all = all[:min(most, len(all))]
		}
		if got := top.List(); !slices.Equal(got, all) {
			t.Errorf("%d at most: %v", most, got)
		}
	}
}
