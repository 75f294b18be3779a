package process

import (
	"testing"
	"time"
)

func TestReadCPU(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"12 (a) b) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 3 4 20 0 7 0 99 1 2": 3 * time.Second,
		"12 (x) S 1 2 3": -1,
		"":               -1,
		"12 (x) S 1 12 12 0 -1 4194304 100 0 0 0 x 50 3 4": -1,
	} {
		got, err := readCPU(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
