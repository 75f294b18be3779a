package filter

import (
	"testing"
	"time"
)

func TestQuiet(t *testing.T) {
	var q quiet
	now := time.Now()
	steps := []struct {
		after      time.Duration
		text       string
		suppressed int
		ok         bool
	}{{0, "a", 0, true}, {0, "a", 0, false}, {time.Millisecond, "a", 0, false}, {0, "b", 0, true}, {time.Second, "a", 2, true}, {time.Second, "a", 0, true}}
	for i, s := range steps {
		now = now.Add(s.after)
		if n, ok := q.allow(s.text, now, time.Second); n != s.suppressed || ok != s.ok {
			t.Errorf("step %d: %d %v", i, n, ok)
		}
	}
}
