package pool

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
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
