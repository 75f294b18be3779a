package filter

import (
	"bytes"
	"slices"
	"testing"
)

func TestHasEightBit(t *testing.T) {
	for n := range 100 {
		b := bytes.Repeat([]byte{0x7f}, n)
		if hasEightBit(b) {
			t.Fatalf("%d bytes of 0x7f", n)
		}
		for i := range b {
			c := slices.Clone(b)
			c[i] = 0x80
			if !hasEightBit(c) {
				t.Fatalf("byte %d of %d is not seen", i, n)
			}
		}
	}
}
