package relay

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingExpiresUntried: what holds mail up and is not the receiver's expires nothing, however long it lasts; what is the
// receiver's does, after it was tried again.
func TestNothingExpiresUntried(t *testing.T) {
	for _, tt := range []struct {
		name    string
		kind    ReasonKind
		timed   bool
		healthy bool
		expires bool
	}{
		{"a dead site", ReasonSite, true, true, true},
		{"a domain that DNS cannot tell", ReasonDNS, true, true, true},
		{"an outage of DNS", ReasonDNS, true, false, false},
		{"a lookup under way", ReasonDNS, false, true, false},
		{"a full disk", ReasonJournal, false, true, false},
		{"the turns of others", ReasonConnection, false, true, false},
		{"nothing at all", ReasonNone, false, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newHeart(t, retryEvery(time.Minute, 50*time.Minute), HandbackConfig{})
				x.deps.Healthy = func() bool { return tt.healthy }
				if err := x.Accept(testMessage("a@x")); err != nil {
					t.Fatal(err)
				}
				until := func() time.Time {
					if !tt.timed {
						return time.Time{}
					}
					return time.Now().Add(30 * time.Minute)
				}
				site := NewLine(RoundRobin, 0)
				site.Push(x.line.Pick())
				site.Explain(WaitFor(tt.kind, "x", tt.name, until()))
				site.NoteFailure(time.Now())
				for i := range 8 { // it is tried each half an hour
					time.Sleep(30 * time.Minute)
					x.h.sweep(time.Now())
					if i <= 1 && x.rec.count("expired a@x") > 0 {
						t.Fatalf("expired after %d tries, before one at the end of its life", i+1)
					}
					site.Explain(WaitFor(tt.kind, "x", tt.name, until()))
					site.NoteFailure(time.Now())
				}
				if got := x.rec.count("expired a@x") == 1; got != tt.expires {
					t.Errorf("expired: %v", got)
				}
			})
		})
	}
}

// TestNotificationsOutliveTheLifetime: our own MTA may be out of order for longer than mail waits. What says that mail has expired
// waits for it, for as long as Postfix keeps a bounce.
func TestNotificationsOutliveTheLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(10*time.Minute, 3*time.Hour), HandbackConfig{})
		x.c.answer = fixed(Deferred, 451)
		x.accept(t, "reader@x")
		notice := testMessage("sender@y")
		notice.Slip.Class = ClassInject
		if err := x.Accept(notice); err != nil {
			t.Fatal(err)
		}
		x.run(t)
		for _, test := range []struct {
			wait         time.Duration
			mail, notice int
		}{{3*time.Hour + time.Minute, 1, 0}, {116 * time.Hour, 1, 0}, {time.Hour, 1, 1}} {
			time.Sleep(test.wait)
			synctest.Wait()
			if mail, told := x.rec.count("expired reader@x"), x.rec.count("expired sender@y"); mail != test.mail || told != test.notice {
				t.Errorf("%s later %d messages and %d notifications have expired, want %d and %d", test.wait, mail, told, test.mail, test.notice)
			}
		}
	})
}
