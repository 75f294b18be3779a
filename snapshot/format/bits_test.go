package format

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestBits compares with a set.
func TestBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v Bits
		set := make(map[uint32]bool)
		for _, i := range rapid.SliceOf(rapid.Uint32Range(0, 5000)).Draw(t, "bits") {
			if v.Set(i) == set[i] {
				t.Fatalf("Set(%d) did not tell whether it was new", i)
			}
			set[i] = true
		}
		for i := range uint32(5100) {
			if v.Has(i) != set[i] {
				t.Fatalf("bit %d is %v", i, v.Has(i))
			}
		}
		if v.Ones() != len(set) || !slices.Equal(DecodeBits(v.AppendWords(nil)), v) {
			t.Fatalf("count %d of %d, or another vector after the disk", v.Ones(), len(set))
		}
	})
}
