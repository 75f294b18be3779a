package snapshot

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestBitVector compares with a set.
func TestBitVector(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v bitVector
		set := make(map[uint32]bool)
		for _, i := range rapid.SliceOf(rapid.Uint32Range(0, 5000)).Draw(t, "bits") {
			if v.set(i) == set[i] {
				t.Fatalf("set(%d) did not tell whether it was new", i)
			}
			set[i] = true
		}
		for i := range uint32(5100) {
			if v.has(i) != set[i] {
				t.Fatalf("bit %d is %v", i, v.has(i))
			}
		}
		if v.count() != len(set) || !slices.Equal(decodeBits(v.append(nil)), v) {
			t.Fatalf("count %d of %d, or another vector after the disk", v.count(), len(set))
		}
	})
}
