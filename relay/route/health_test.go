package route

import "testing"

func TestHealth(t *testing.T) {
	fresh, failing, known := &record{}, &record{failures: 1}, &record{good: &Route{}}
	type step struct {
		n    int
		v    verdict
		old  *record
		want bool
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"few failures prove nothing", []step{{enough - 1, outage, fresh, true}, {1, outage, fresh, false}}},
		{"half is not more than half", []step{{10, good, fresh, true}, {10, outage, fresh, true}, {1, outage, fresh, false}}},
		{"retries of dead names do not count", []step{{1, good, fresh, true}, {1000, outage, failing, true}}},
		{"names that do not exist are answers", []step{{1000, missing, fresh, true}}},
		{"unless they existed before", []step{{20, missing, known, false}}},
		{"loops and refusals are answers", []step{{50, unclear, fresh, true}, {50, refused, fresh, true}}},
		{"recovers", []step{{200, outage, fresh, false}, {31, good, failing, false}, {1, good, failing, true}}},
		{"forgets", []step{{recent, outage, fresh, false}, {recent, good, fresh, true}, {32, outage, fresh, true}, {1, outage, fresh, false}}},
	}
	for _, tt := range tests {
		var h health
		for i, s := range tt.steps {
			for range s.n {
				h.book(s.v, s.old)
			}
			if h.ok() != s.want {
				t.Errorf("%s: after step %d: %v (%d of %d failed)", tt.name, i, h.ok(), h.failed, h.size)
			}
		}
	}
}
