package pool

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/sink"
)

// TestRuleIsLoggedOnce: a reply that a rule meets again and again is logged once in the time for which the rule holds, and once for
// each sender whose mail it lets wait.
func TestRuleIsLoggedOnce(t *testing.T) {
	s := newWaiting(t)
	var log bytes.Buffer
	s.m.log = hclog.New(&hclog.LoggerOptions{Output: &log})
	s.m.policy.Store(Policy{Replies: repliesOf(t,
		ReplyRule{Name: "few", Match: "few", Window: 1, For: time.Hour},
		ReplyRule{Name: "sender", Match: "you", Scope: "sender", Suspend: true, For: time.Hour},
	)}.withDefaults(*s.m.cfg.Load()))
	now := time.Now()
	for _, at := range []time.Duration{0, time.Minute, time.Hour, 90 * time.Minute} {
		for _, sender := range []string{"a.example", "b.example"} {
			for _, words := range []string{"450 4.2.1 few", "450 4.2.1 you"} {
				if !s.obey(refusedWith(words), sender, now.Add(at)) {
					t.Fatalf("no rule is about %q", words)
				}
			}
		}
	}
	for rule, want := range map[string]int{"rule=few": 2, "rule=sender": 4} {
		if n := strings.Count(log.String(), rule); n != want {
			t.Errorf("%s is logged %d times, want %d:\n%s", rule, n, want, log.String())
		}
	}
}

// TestRuledSiteIsProven: a site that takes a message for some recipients works, also when a rule is about its refusal of another.
func TestRuledSiteIsProven(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.pool.Reload(*w.pool.cfg.Load(), Policy{Replies: repliesOf(t, ReplyRule{Match: "few", Window: 4})}, 20, 0, w.queues.Order)
	w.listen("x", sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Match: "odd", Do: sink.Reply451, Text: "450 4.2.1 few"}}})
	w.send("a@x", "odd@x")
	w.eventually("both are settled", func() bool { return len(w.happened()) == 2 })
	w.eventually("the site has proven itself", siteFor(w.pool, w.Lookup("x")).pace.Proven)
}
