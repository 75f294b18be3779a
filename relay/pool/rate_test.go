package pool

import (
	"testing"
	"time"
)

// TestSpend: after a cut the rate holds at once. What had been saved up until then is gone.
func TestSpend(t *testing.T) {
	const rate = 45.0
	for _, spent := range []bool{false, true} {
		var s spacing
		now := time.Now()
		s.next(now, rate, burstOf(rate))
		now = now.Add(time.Minute)
		if spent {
			s.spend(now, rate, burstOf(rate))
		}
		let := 0
		for end := now.Add(time.Second); now.Before(end); now = now.Add(time.Millisecond) {
			for s.next(now, rate, burstOf(rate)) == 0 {
				let++
			}
		}
		if most := rate + 1; spent != (float64(let) <= most) {
			t.Errorf("spent %v: %d messages in the first second", spent, let)
		}
	}
}
