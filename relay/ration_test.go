package relay

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestShorterLifetimeIsRationed: a reload that makes 10,000 messages overdue does not return them in a minute, whether their
// receiver answers or is dead. Most are returned within an hour or two, all in the end, and status says why they wait. Other mail
// expires as always.
func TestShorterLifetimeIsRationed(t *testing.T) {
	for _, dead := range []bool{false, true} {
		name := "deferring receiver"
		if dead {
			name = "dead receiver"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newHeart(t, retryEvery(5*time.Minute, 48*time.Hour), HandbackConfig{})
				x.c.answer = fixed(Deferred, 451)
				if dead {
					x.c.closed = everything
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					go x.keepClosed(ctx) // ends with ctx
				}
				const n = 6000
				for range n {
					if err := x.Accept(testMessage("old@x")); err != nil {
						t.Fatal(err)
					}
				}
				x.run(t)
				time.Sleep(3 * time.Hour)
				overdue, perMinute := x.h.SetPolicy(retryEvery(5*time.Minute, time.Hour), HandbackConfig{})
				if overdue != n || perMinute != (n+59)/60 {
					t.Fatalf("%d overdue, %d a minute", overdue, perMinute)
				}
				told := 0
				for minute, before := 1, 0; minute <= 40; minute++ {
					time.Sleep(time.Minute)
					synctest.Wait()
					got := x.rec.count("expired old@x")
					if got-before > 2*perMinute || got > (minute+1)*perMinute {
						t.Fatalf("minute %d: %d expired, %d before", minute, got, before)
					}
					before = got
					if why := x.h.Rationed(); strings.Contains(why.Text, "6000 messages overdue: at most 100 of them a minute") {
						told++
					}
				}
				if told < 30 {
					t.Errorf("told in %d of 40 minutes", told)
				}
				x.h.SetPolicy(retryEvery(5*time.Minute, time.Hour), HandbackConfig{}) // a reload of something else
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := x.rec.count("expired old@x"); got > 43*perMinute || got < 300 {
					t.Errorf("%d expired by a reload of another key", got)
				}
				before := x.rec.count("expired old@x")
				x.h.SetPolicy(retryEvery(5*time.Minute, 2*time.Hour), HandbackConfig{}) // half of the step back
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := x.rec.count("expired old@x") - before; got > 3*perMinute {
					t.Errorf("%d expired by a lifetime that is longer again", got)
				}
				before = x.rec.count("expired old@x")
				x.h.SetPolicy(retryEvery(5*time.Minute, 48*time.Hour), HandbackConfig{})
				time.Sleep(time.Hour)
				if got := x.rec.count("expired old@x") - before; got != 0 || x.h.Rationed().Waits() {
					t.Errorf("%d expired after the mistake was taken back; %+v", got, x.h.Rationed())
				}
				x.h.SetPolicy(retryEvery(5*time.Minute, time.Hour), HandbackConfig{})
				time.Sleep(44 * time.Hour) // beyond the lifetime that they were taken under
				synctest.Wait()
				if got := x.rec.count("expired old@x"); got != n {
					t.Errorf("%d expired in the end", got)
				}
			})
		})
	}
}

// keepClosed has the site that is closed tried in vain once a minute.
func (x *heart) keepClosed(ctx context.Context) {
	for tick := time.NewTicker(time.Minute); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		x.c.site.NoteFailure(time.Now())
		x.c.site.Explain(WaitFor(ReasonSite, "x", "closed", time.Now().Add(time.Minute)))
	}
}

// TestRationIsOfTheOverdue: mail that was taken before the reload and is younger than the shorter lifetime expires as always.
func TestRationIsOfTheOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Minute, 48*time.Hour), HandbackConfig{})
		x.c.answer = fixed(Deferred, 451)
		if err := x.Accept(testMessage("old@x")); err != nil {
			t.Fatal(err)
		}
		x.run(t)
		time.Sleep(time.Hour)
		for range 1000 {
			if err := x.Accept(testMessage("young@x")); err != nil {
				t.Fatal(err)
			}
		}
		x.h.SetPolicy(retryEvery(time.Minute, 30*time.Minute), HandbackConfig{})
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if got := x.rec.count("expired young@x"); got != 1000 {
			t.Errorf("%d of 1000 expired", got)
		}
	})
}
