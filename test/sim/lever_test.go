package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// TestOrders: what the ledger holds against a daemon that has answered an order. A recipient who was being sent to meanwhile may get
// the message.
func TestOrders(t *testing.T) {
	waits, busy := map[string]bool{"r@a.test": false}, map[string]bool{"r@a.test": true}
	domain := relay.Selector{Domain: "a.test"}
	for _, c := range []struct {
		name          string
		act           relay.Act
		before, after map[string]bool
		failed        bool
		then          func(l *Ledger)
		want          string // in what the ledger says of a delivery a minute later
	}{
		{"nothing", relay.Act{Verb: relay.VerbFlush}, waits, waits, false, nil, ""},
		{"hold", relay.Act{Verb: relay.VerbHold, Selector: domain}, waits, waits, false, nil, "an admin holds it"},
		{"hold of another", relay.Act{Verb: relay.VerbHold, Selector: relay.Selector{Domain: "b.test"}}, waits, waits, false, nil, ""},
		{"hold while busy", relay.Act{Verb: relay.VerbHold, Selector: domain}, waits, busy, false, nil, ""},
		{"hold that failed", relay.Act{Verb: relay.VerbHold, Selector: domain}, waits, waits, true, nil, ""},
		{"hold of old mail", relay.Act{Verb: relay.VerbHold, Selector: relay.Selector{Older: time.Hour}}, waits, waits, false, nil, ""},
		{"hold and release", relay.Act{Verb: relay.VerbHold, Selector: domain}, waits, waits, false, func(l *Ledger) { l.relax(relay.Act{Verb: relay.VerbRelease}) }, ""},
		{"delete", relay.Act{Verb: relay.VerbDelete, Selector: domain}, waits, nil, false, nil, "an admin had ended it"},
		{"delete at a site", relay.Act{Verb: relay.VerbDelete, Selector: relay.Selector{Site: "mx.a.test"}}, waits, nil, false, nil, ""},
		{"delete while busy", relay.Act{Verb: relay.VerbDelete, Selector: domain}, busy, busy, false, nil, ""},
		{"bounce", relay.Act{Verb: relay.VerbBounce, Selector: relay.Selector{Sender: "@s.test"}}, waits, nil, false, nil, "an admin had ended it"},
		{"bounce and crash", relay.Act{Verb: relay.VerbBounce, Selector: domain}, waits, nil, false, func(l *Ledger) { l.crashed() }, ""},
		{"delete and crash", relay.Act{Verb: relay.VerbDelete, Selector: domain}, waits, nil, false, func(l *Ledger) { l.crashed() }, "an admin had ended it"},
		{"handback", relay.Act{Verb: relay.VerbHandback, Selector: relay.Selector{Campaign: "src"}}, waits, waits, false, nil, "an admin had ended it"},
		{"pause", relay.Act{Verb: relay.VerbPause, Selector: relay.Selector{Site: "mx.a.test"}}, nil, nil, false, nil, "an admin paused it"},
		{"pause while busy", relay.Act{Verb: relay.VerbPause, Selector: domain}, busy, busy, false, nil, ""},
		{"pause that is over", relay.Act{Verb: relay.VerbPause, Selector: domain, Until: time.Unix(1, 0)}, nil, nil, false, nil, ""},
		{"pause and resume", relay.Act{Verb: relay.VerbPause, Selector: domain}, nil, nil, false, func(l *Ledger) { l.relax(relay.Act{Verb: relay.VerbResume}) }, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, by, site := newLedger(), newSender("src", time.Now()), newSite("a.test", time.Now())
			by.domain, by.campaign = "s.test", "src"
			l.offer("r@a.test", by, site, &content{})
			l.oblige(c.act, c.before, c.after, !c.failed)
			if c.then != nil {
				c.then(l)
			}
			time.Sleep(time.Minute)
			l.receive("r@a.test", "")
			if got := strings.Join(l.broken, " "); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		})
	}
}

// TestDeletedStays: what is there after the answer to a delete is found, and what is gone is not lost.
func TestDeletedStays(t *testing.T) {
	l, by, site := newLedger(), newSender("src", time.Now()), newSite("a.test", time.Now())
	l.offer("r@a.test", by, site, &content{})
	l.hear("r@a.test", taken)
	waits := map[string]bool{"r@a.test": false}
	l.oblige(relay.Act{Verb: relay.VerbDelete}, waits, waits, true)
	if got := strings.Join(l.judge(nil, time.Now()), " "); got != "still there after the answer to delete: r@a.test" {
		t.Errorf("%q", got)
	}
}

// TestPull: orders that cannot be meant.
func TestPull(t *testing.T) {
	for _, text := range []string{"", "push", "delete", "hold colour=red", "hold older=long", "pause until=1m", "drain domain=a.test"} {
		if _, err := parseAct(strings.Fields(text), time.Now()); err == nil {
			t.Errorf("%q is an order", text)
		}
	}
	if act, err := parseAct(strings.Fields("pause domain=a.test until=1m"), time.Unix(0, 0)); err != nil || !act.Until.Equal(time.Unix(60, 0)) {
		t.Errorf("%+v, %v", act, err)
	}
}
