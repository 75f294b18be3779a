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
		rest := func(work time.Duration) time.Duration {
			time.Sleep(work)
			begin := time.Now()
			c.rest()
			return time.Since(begin)
		}
		for i, test := range []struct {
			mail         int64
			work, rested time.Duration
		}{
			{0, workPiece, 0},
			{1, workPiece / 2, 0}, // too short to rest after
			{0, workPiece / 2, restRatio * workPiece},
			{0, workPiece, restRatio * workPiece},
			{0, time.Second, 0},
			{0, workPiece, 0},
			{1, time.Minute, restRatio * 4 * workPiece}, // it has waited for something
		} {
			m.counts.sent.Add(test.mail)
			if got := rest(test.work); got != test.rested {
				t.Errorf("%d: rests %s after %s, want %s", i, got, test.work, test.rested)
			}
		}
		m.counts.deleted.Add(1)
		time.Sleep(trafficFor)
		if rest(workPiece) != 0 {
			t.Error("it makes way for itself")
		}
	})
}
