package pool

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/test/sink"
)

// waitsBy reports whether mail of the domain waits for a reason of this kind.
func (w *world) waitsBy(domain string, kind relay.ReasonKind) bool {
	return slices.ContainsFunc(w.queues.Queues(0), func(q relay.QueueStatus) bool { return q.Domain == domain && q.Kind == kind })
}

// TestPausedSite: whatever the pause calls the site, its mail waits uncharged with the reason, new mail too, other mail goes on, and the
// end of the pause is enough.
func TestPausedSite(t *testing.T) {
	for _, name := range []string{"X", "mx.x."} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, quick(), time.Hour)
			w.listen("x", sink.Character{})
			w.listen("y", sink.Character{})
			w.send("before@x")
			w.drained()
			w.pool.Pause(map[string]relay.Reason{name: relay.WaitFor(relay.ReasonPause, "root", "paused", time.Time{})})
			for i := range 5 {
				w.send(fmt.Sprintf("u%d@x", i), fmt.Sprintf("u%d@y", i))
			}
			w.eventually("the other site's mail is sent", func() bool { return w.sink.Counts("y").Messages == 5 })
			w.eventually("it is said why", func() bool { return w.waitsBy("x", relay.ReasonPause) })
			if n := w.sink.Counts("x").Messages; n != 1 {
				t.Errorf("%d messages were sent, 1 of them before", n)
			}
			for _, s := range w.pool.Sites() {
				if paused := s.Window == 0 && s.WindowBy == "pause"; paused != (s.Site == "x") {
					t.Errorf("site %s has a window of %d by %s", s.Site, s.Window, s.WindowBy)
				}
			}
			w.pool.Pause(nil)
			w.drained()
			if n := w.sink.Counts("x").Messages; n != 6 || w.handler.Status().Deferrals != 0 {
				t.Errorf("%d messages, %d deferrals", n, w.handler.Status().Deferrals)
			}
		})
	}
}

// TestPauseEndsByItself: at its time, with nobody's help.
func TestPauseEndsByItself(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{})
	w.pool.Pause(map[string]relay.Reason{"x": relay.WaitFor(relay.ReasonPause, "", "paused", time.Now().Add(time.Second))})
	w.send("u@x")
	w.eventually("it waits", func() bool { return w.waitsBy("x", relay.ReasonPause) })
	w.drained()
}

// TestPauseEndsAgents: an agent at work ends behind the message that it is sending, however many wait behind it.
func TestPauseEndsAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{Delay: 20 * time.Millisecond})
	const n = 200
	for i := range n {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.eventually("agents are at work", func() bool { return w.sink.Counts("x").Messages > 0 })
	w.pool.Pause(map[string]relay.Reason{"x": relay.WaitFor(relay.ReasonPause, "", "paused", time.Time{})})
	w.eventually("they end", func() bool { return w.pool.Totals().Channels == 0 })
	sent := w.sink.Counts("x").Messages
	if s := w.handler.Status(); sent == n || s.Sent != sent || s.Messages != n-sent || s.Deferrals != 0 {
		t.Errorf("the receiver has %d of %d: %+v", sent, n, s)
	}
	w.pool.Pause(map[string]relay.Reason{})
	w.drained()
}

// TestPauseWithoutEndCostsNothing: nobody looks at a paused site four times a second.
func TestPauseWithoutEndCostsNothing(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.stop()
	r := &route.Route{Domain: "x", Site: "x"}
	w.route("x", r)
	w.pool.Pause(map[string]relay.Reason{"x": relay.WaitFor(relay.ReasonPause, "", "paused", time.Time{})})
	w.send("u@x")
	s := siteFor(w.pool, r)
	s.hold(w.handler.Next(t.Context()))
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.opens(now); at.Before(now.Add(forgetAfter)) {
		t.Errorf("it is looked at again after %s", at.Sub(now))
	}
}

// TestReopen: a site that is closed for a long time is tried at once.
func TestReopen(t *testing.T) {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Hour}
	w := newWorld(t, cfg, time.Hour)
	r := w.silent("x")
	w.mute.Close()
	w.route("x", r)
	w.send("charged@x")
	w.eventually("the site is closed", func() bool { return w.pool.Totals().Closed == 1 && w.handler.Status().Deferred == 1 })
	w.send("u@x")
	w.eventually("mail waits for it", func() bool { return w.waitsBy("x", relay.ReasonSite) })
	if w.pool.SiteOf("x") != "x" || w.pool.SiteOf("y") != "" {
		t.Errorf("sites %q and %q", w.pool.SiteOf("x"), w.pool.SiteOf("y"))
	}
	w.listen("y", sink.Character{})
	alive := *w.Lookup("y")
	alive.Domain, alive.Site = "x", "x"
	w.route("x", &alive)
	siteFor(w.pool, &alive)
	w.pool.Reopen(map[string]bool{"other": true})
	if w.pool.Totals().Closed != 1 {
		t.Error("another site was opened")
	}
	w.pool.Reopen(map[string]bool{"x": true})
	w.eventually("it is sent", func() bool { return w.count("sent u@x") == 1 })
}

// TestSiteHas: by key, host and provider, and not known is not no.
func TestSiteHas(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{})
	w.route("g", &route.Route{Domain: "g", Site: "aspmx.l.google.com", Hosts: []route.Host{{Name: "aspmx.l.google.com"}}})
	w.route("lost", &route.Route{Domain: "lost", Err: &route.Error{Code: 451, Text: "SERVFAIL"}})
	w.route("gone", &route.Route{Domain: "gone", Err: &route.Error{Code: 550, Text: "NXDOMAIN", Permanent: true}})
	for _, test := range []struct {
		domain, name string
		has, known   bool
	}{
		{"x", "x", true, true}, {"x", "X.", true, true}, {"x", "mx.x", true, true}, {"x", "y", false, true}, {"g", "gmail", true, true}, {"x", "gmail", false, true}, {"unasked", "x", false, false},
		{"lost", "x", false, false}, {"lost", "dns:lost", true, true}, {"gone", "x", false, true},
	} {
		if has, known := w.pool.SiteHas(test.domain, test.name); has != test.has || known != test.known {
			t.Errorf("%s at %s: %t, known %t", test.domain, test.name, has, known)
		}
	}
}
