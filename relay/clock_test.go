package relay

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestClockWasAhead: a message that was taken and deferred while the clock was ten years ahead waits no longer than the
// longest wait of the schedule, and lives no longer than a lifetime from now.
func TestClockWasAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, RetryConfig{Schedule: []time.Duration{time.Minute, time.Hour}, Lifetime: 48 * time.Hour}, HandbackConfig{})
		x.c.answer = fixed(Deferred, 451)
		now, ahead := time.Now(), time.Now().AddDate(10, 0, 0)
		m := testMessage("a@x")
		m.Slip.Arrived = ahead
		x.Restore(Saved{Message: m, Nodes: []SavedNode{{Rcpts: []int{0}, Visits: 3, Due: ahead.Add(2 * time.Minute), Reason: "451 later"}}}, x.h)
		x.run(t)
		l := slices.Collect(x.h.Messages)
		if next := time.Unix(l[0].Recipients[0].NextAttempt, 0); next.After(now.Add(time.Hour)) {
			t.Errorf("the next attempt is at %s, %s from now", next, next.Sub(now))
		}
		if end := time.Unix(l[0].Expires, 0); end.After(now.Add(48 * time.Hour)) {
			t.Errorf("it expires at %s, %s from now", end, end.Sub(now))
		}
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		if x.rec.count("deferred a@x") == 0 {
			t.Error("it was not visited after the longest wait")
		}
		time.Sleep(49 * time.Hour)
		synctest.Wait()
		if x.rec.count("expired a@x") != 1 {
			t.Error("it does not expire")
		}
		if !m.Arrived().Equal(ahead) {
			t.Error("what the journal says of the message was changed")
		}
	})
}

// TestTimerLooksAtTheClock: the timer never sleeps for so long that it would miss a correction of the clock.
func TestTimerLooksAtTheClock(t *testing.T) {
	d := NewDeferrals()
	for range 2 {
		if n, wait := d.earliest(); n != nil || wait > time.Minute {
			t.Errorf("with %d nodes it sleeps %s", d.Len(), wait)
		}
		d.Defer(&Node{due: instantOf(time.Now().Add(30 * time.Hour))})
	}
}
