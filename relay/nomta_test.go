package relay

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// TestWithoutMTA: what an MTA would get back waits, with its reason, and expires with the retry schedule.
func TestWithoutMTA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(10*time.Minute, 25*time.Minute), HandbackConfig{})
		x.deps.NoMTA = true
		x.c.answer = func(*Node, int) Fate {
			return Fate{Outcome: Deferred, Unfit: true, Reply: smtp.Reply{Code: 554, Enhanced: "5.6.7", Lines: []string{"no SMTPUTF8"}}}
		}
		if err := x.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
		x.run(t)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if l := x.Queues(0); len(l) != 1 || l[0].Class != ClassRemote || l[0].Deferred != 1 || x.rec.count("deferred a@x") == 0 {
			t.Errorf("%q %+v", x.rec.lines, l)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := x.h.Status(); s.HandedBack != 0 || s.Expired != 1 || s.Messages != 0 {
			t.Errorf("%q %+v", x.rec.lines, s)
		}
	})
}

// TestRestoreWithoutMTA: mail that was on its way to the MTA goes to its receiver when the MTA is there no more.
func TestRestoreWithoutMTA(t *testing.T) {
	for noMTA, want := range map[bool]string{false: "handedback a@x", true: "sent a@x"} {
		synctest.Test(t, func(t *testing.T) {
			x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
			x.deps.NoMTA = noMTA
			x.c.answer = func(*Node, int) Fate { return Fate{Outcome: Sent, Reply: smtp.Reply{Code: 250}} }
			x.Restore(Saved{Message: testMessage("a@x"), Nodes: []SavedNode{{Rcpts: []int{0}, Class: ClassInject, Visits: 2}}}, x.h)
			x.run(t)
			time.Sleep(time.Minute)
			synctest.Wait()
			if !slices.Contains(x.rec.lines, want) {
				t.Errorf("without an MTA %v: %q", noMTA, x.rec.lines)
			}
		})
	}
}
