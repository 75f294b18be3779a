package relay

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestCourtesy: work rests after each piece while mail comes or goes, and for a moment after that; without mail it does not.
func TestCourtesy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}})
		c := m.courtesy()
		work := func(lasts time.Duration) time.Duration {
			time.Sleep(lasts)
			begin := time.Now()
			c.rest()
			return time.Since(begin)
		}
		for i, test := range []struct {
			mail         int64
			work, rested time.Duration
		}{
			{0, rest, 0},
			{1, rest / 2, 0}, // too short to rest after
			{0, rest / 2, rest},
			{0, rest, rest},
			{0, time.Second, 0},
			{0, rest, 0},
			{1, time.Minute, rest},
		} {
			m.counts.sent.Add(test.mail)
			if got := work(test.work); got != test.rested {
				t.Errorf("%d: rests %s after %s, want %s", i, got, test.work, test.rested)
			}
		}
		m.counts.deleted.Add(1)
		time.Sleep(trafficFor)
		if work(rest) != 0 {
			t.Error("it makes way for itself")
		}
		offered := int64(0)
		NewLever(m, NewHandler(m, DefaultRetryConfig(), HandbackConfig{}), LeverDeps{Offered: func() int64 { return offered }})
		if offered++; work(rest) != rest {
			t.Error("it does not make way for mail that passes by")
		}
	})
}
