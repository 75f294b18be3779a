package pool

import (
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/test/sink"
)

// TestNear: mail is foreseen to go at once where a connection is idle, and not where nobody was yet, nothing may be sent, or mail
// waits already.
func TestNear(t *testing.T) {
	w := newWorld(t, DefaultConfig(), time.Hour)
	key := func(domain string) relay.Key { return relay.Key{Domain: domain, Class: relay.ClassRemote} }
	w.listen("a", sink.Character{})
	w.route("nobody", &route.Route{Domain: "nobody", Err: &route.Error{Code: 451, Text: "no answer"}})
	for _, domain := range []string{"a", "nobody", "unknown"} {
		if w.pool.Near(key(domain)) {
			t.Errorf("%s is near, and nothing was sent there", domain)
		}
	}
	w.send("x@a")
	w.drained()
	w.eventually("a is near", func() bool { return w.pool.Near(key("a")) })
	w.pool.Pause(map[string]relay.Reason{"a": relay.WaitFor(relay.ReasonSite, "a", "paused by the admin", time.Time{})})
	if w.pool.Near(key("a")) {
		t.Error("a is near, and nothing may be sent there")
	}
	w.pool.Pause(nil)
	if !w.pool.Near(key("a")) {
		t.Error("a is not near any more")
	}
	w.listen("b", sink.Character{})
	w.send("x@b")
	w.drained()
	w.eventually("b is near", func() bool { return w.pool.Near(key("b")) })
	s := siteFor(w.pool, w.Lookup("b"))
	s.mu.Lock()
	s.again = time.Now().Add(time.Hour)
	s.mu.Unlock()
	if w.pool.Near(key("b")) {
		t.Error("b is near, and its rate lets nothing go")
	}
}
