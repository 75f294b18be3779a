package route

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLRUAgainstModel holds a lru against a plain list, latest used first.
func TestLRUAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		l, model, values := newLRU[int, int](limit), []int{}, map[int]int{}
		for step := range rapid.IntRange(0, 60).Draw(t, "steps") {
			key := rapid.IntRange(0, 8).Draw(t, "key")
			at := slices.Index(model, key)
			if rapid.Bool().Draw(t, "put") {
				l.put(key, step)
				values[key] = step
				if at < 0 {
					model = append([]int{key}, model...)
					model = model[:min(limit, len(model))]
					at = 0
				}
			} else if v, ok := l.get(key); ok != (at >= 0) || ok && v != values[key] {
				t.Fatalf("get(%d) = %d, %v; model %v", key, v, ok, model)
			}
			if at > 0 {
				model = append([]int{key}, slices.Delete(model, at, at+1)...)
			}
			if l.len() != len(model) {
				t.Fatalf("len %d, model %v", l.len(), model)
			}
		}
	})
}
