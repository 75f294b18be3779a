package filter

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter/preflight"
	"github.com/millrace/millrace/relay"
)

// checked is an intake with a preflight, and what that has noted.
type checked struct {
	*site
	p     *Preflight
	notes []string // "campaign code"
	says  bytes.Buffer
}

func newChecked(t testing.TB, mode string, cfg PreflightConfig) *checked {
	t.Helper()
	c := &checked{site: newSite(t, mode, Limits{Rcpts: 100, HeaderBytes: 10_000, Buffered: 1 << 22})}
	c.p = NewPreflight(cfg, hclog.New(&hclog.LoggerOptions{Output: &c.says, Level: hclog.Warn}), func(f relay.FlowName, fault preflight.Fault) {
		c.notes = append(c.notes, f.Name+" "+fault.Code)
	})
	c.in.deps.Preflight = c.p
	return c
}

// letter is a good message of a campaign but for what is replaced.
func letter(campaign string, replace ...string) string {
	return strings.NewReplacer(replace...).Replace(strings.Join([]string{
		"MAIL <news@example.com> BODY=8BITMIME", "RCPT <a@example.net>",
		"H DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=k; h=from:to:subject:date:list-unsubscribe:list-unsubscribe-post; bh=A; b=B",
		"H From: news@example.com", "H To: a@example.net", "H Subject: hi", "H Date: " + time.Now().Format(time.RFC1123Z), "H Message-ID: <1@example.com>",
		"H List-Id: <" + campaign + ">", "H List-Unsubscribe: <https://example.com/off>", "H List-Unsubscribe-Post: List-Unsubscribe=One-Click",
		"EOH", "B Hello,", "DOT",
	}, "\n"))
}

func (c *checked) send(script string) string { return (&lineDoor{in: c.in}).send(script) }

// told is what was noted since the last look.
func (c *checked) told() []string {
	notes := c.notes
	c.notes = nil
	slices.Sort(notes)
	return notes
}

// TestPreflight: the first message of each campaign is examined, its faults are told once, and everything is taken.
func TestPreflight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChecked(t, Deliver, DefaultPreflightConfig())
		for range 3 {
			c.send(letter("good"))
			c.send(letter("bad", "d=example.com", "d=other.example", "One-Click", "Click"))
			c.send(letter("large", "Hello", strings.Repeat("xxxxxxxxx\nB ", preflight.SizeHint/9)))
			c.send(letter("announced", "MAIL <news@example.com>", "MAIL <news@example.com> SIZE=200000"))
		}
		want := []string{"announced large", "bad dkim-not-aligned", "bad one-click-wrong", "large large"}
		if got := c.told(); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if n := len(c.heart.taken); n != 12 {
			t.Errorf("%d messages taken", n)
		}
		if n := strings.Count(c.says.String(), "\n"); n != 3 || !strings.Contains(c.says.String(), "dkim-not-aligned=\"From is at example.com, and the signature is of other.example; sign with") {
			t.Errorf("%d lines in the log:\n%s", n, c.says.String())
		}
		time.Sleep(examineAgain)
		c.send(letter("bad", "d=example.com", "d=other.example"))
		if got := c.told(); !slices.Equal(got, []string{"bad dkim-not-aligned"}) {
			t.Errorf("a day later: %q", got)
		}
	})
}

// TestPreflightRefuses: a campaign with a fault that is refused stays with the MTA, until a message of it is good; nothing is refused.
func TestPreflightRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChecked(t, Deliver, PreflightConfig{Enabled: true, Refuse: []string{"one-click-wrong", "large", "ptr-missing"}})
		for range 3 {
			if got := c.send(letter("bad", "One-Click", "Click")); !strings.Contains(got, "preflight: one-click-wrong") {
				t.Errorf("bad: %s", got)
			}
			if got := c.send(letter("large", "Hello", strings.Repeat("xxxxxxxxx\nB ", preflight.SizeHint/9))); !strings.Contains(got, "preflight: large") {
				t.Errorf("large: %s", got)
			}
		}
		if s := c.in.Status(); s.LeftBy[CausePreflight] != 6 || s.Refused != 0 {
			t.Errorf("%+v", s)
		}
		if n := strings.Count(c.says.String(), "is left with the MTA"); n != 2 {
			t.Errorf("%d lines:\n%s", n, c.says.String())
		}
		c.told()
		for range 2 {
			if got := c.send(letter("bad")); !strings.HasPrefix(got, "taken") {
				t.Errorf("the good message: %s", got)
			}
		}
		if got := c.told(); len(got) > 0 {
			t.Errorf("%q", got)
		}
		c.p.SetMachine([]preflight.Fault{{Code: "ptr-missing", Text: "no PTR"}})
		if got := c.send(letter("bad")); !strings.Contains(got, "preflight: ptr-missing") {
			t.Errorf("with a fault of the machine: %s", got)
		}
		c.p.SetConfig(PreflightConfig{Refuse: []string{"ptr-missing"}})
		if got := c.send(letter("bad", "One-Click", "Click")); !strings.HasPrefix(got, "taken") {
			t.Errorf("switched off: %s", got)
		}
	})
}

// TestPreflightObserves: in observe mode faults are told, and nothing is left for them.
func TestPreflightObserves(t *testing.T) {
	c := newChecked(t, Observe, PreflightConfig{Enabled: true, Refuse: []string{"one-click-wrong"}})
	if got := c.send(letter("bad", "One-Click", "Click")); !strings.Contains(got, leftObserve) || !slices.Equal(c.told(), []string{"bad one-click-wrong"}) {
		t.Errorf("%s", got)
	}
}

// TestPreflightOfTheMachine: what is wrong with the machine is said at once, and is counted with each campaign.
func TestPreflightOfTheMachine(t *testing.T) {
	c := newChecked(t, Deliver, DefaultPreflightConfig())
	c.send(letter("a"))
	fault := []preflight.Fault{{Code: "ptr-missing", Text: "192.0.2.1 has no PTR record", Repair: "enter it"}}
	for range 2 {
		c.p.SetMachine(fault)
		c.send(letter("a"))
		c.send(letter("b"))
	}
	if got := c.told(); !slices.Equal(got, []string{"a ptr-missing", "b ptr-missing"}) {
		t.Errorf("%q", got)
	}
	if n := strings.Count(c.says.String(), "receivers will distrust all mail: 192.0.2.1 has no PTR record"); n != 1 {
		t.Errorf("said %d times:\n%s", n, c.says.String())
	}
}

// TestPreflightIsBounded: a sender that gives each message a List-Id of its own takes bounded memory, and bounded room in the log.
func TestPreflightIsBounded(t *testing.T) {
	var says bytes.Buffer
	p := NewPreflight(DefaultPreflightConfig(), hclog.New(&hclog.LoggerOptions{Output: &says}), nil)
	now := time.Now()
	flow := func(i int) relay.FlowName { return relay.FlowName{Name: fmt.Sprint(i), Sender: "a.example"} }
	for i := range maxCampaigns + 100 {
		p.judge(flow(i), []preflight.Fault{{Code: "dkim-missing"}}, now)
	}
	if len(p.seen) != maxCampaigns || len(p.order) != maxCampaigns {
		t.Errorf("%d campaigns, %d in order", len(p.seen), len(p.order))
	}
	for i, want := range map[int]bool{0: false, 99: false, 100: true, maxCampaigns + 99: true} {
		if got := p.known(flow(i), now); got != want {
			t.Errorf("campaign %d known: %v", i, got)
		}
	}
	if n := strings.Count(says.String(), "\n"); n != maxTold {
		t.Errorf("%d lines", n)
	}
	p.judge(flow(-1), []preflight.Fault{{Code: "dkim-missing"}}, now.Add(time.Minute))
	if want := fmt.Sprint("campaigns_before=", maxCampaigns+100-maxTold); !strings.Contains(says.String(), want) {
		t.Errorf("the log does not say %s", want)
	}
}

// TestPreflightConfig: a code that is mistyped would refuse nothing.
func TestPreflightConfig(t *testing.T) {
	if err := (PreflightConfig{Refuse: preflight.Codes()}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (PreflightConfig{Refuse: []string{"large", "dkim-mising"}}).Validate(); err == nil || !strings.HasPrefix(err.Error(), `refuse[1]: "dkim-mising"`) {
		t.Errorf("%v", err)
	}
}

// BenchmarkPreflightKnown is what a later message of a campaign costs.
func BenchmarkPreflightKnown(b *testing.B) {
	p := NewPreflight(DefaultPreflightConfig(), hclog.NewNullLogger(), nil)
	now := time.Now()
	for i := range 1000 {
		p.judge(relay.FlowName{Name: fmt.Sprint("campaign-", i), Sender: "a.example"}, nil, now)
	}
	flow := relay.FlowName{Name: "campaign-500", Sender: "a.example"}
	b.ReportAllocs()
	for b.Loop() {
		if !p.known(flow, now) {
			b.Fatal("not known")
		}
	}
}
