package filter

import "testing"

// TestRescueTakesAll: of an MTA's backlog everything is taken that can be, by a rule of its own, and the reasons of a message itself
// still count.
func TestRescueTakesAll(t *testing.T) {
	c := DefaultConfig()
	c.Rule = []Rule{{Name: "invoices", Sender: "*@billing.example.com", Take: no()}, {Name: "news", Sender: "*@news.example.com"}}
	f, err := Compile(c, host, nil)
	if err != nil {
		t.Fatal(err)
	}
	mark := "Received: from app.example.com\r\n\tby " + host + "\r\n (Millrace) with ESMTP id 4x; date"
	for _, tt := range []struct {
		name, sender string
		size         int64
		header       []byte
		want         Decision
	}{
		{"plain letter", "a@example.com", 0, lines("Subject: x"), Take},
		{"null sender", "", 0, lines("Subject: x"), Take},
		{"rule that leaves", "a@billing.example.com", 0, lines("Subject: x"), Take},
		{"rule that takes", "a@news.example.com", 0, lines("Subject: x"), Take},
		{"automatic reply", "a@example.com", 0, lines("Auto-Submitted: auto-replied"), Take},
		{"too large", "a@example.com", 1 << 40, lines("Subject: x"), Pass},
		{"handed back by us before", "a@example.com", 0, lines(mark, "Subject: x"), Pass},
	} {
		o := offer()
		o.Rescue, o.Sender, o.Size = true, tt.sender, tt.size
		if f.Hopeless(o) {
			t.Errorf("%s: hopeless", tt.name)
		}
		if v := f.Early(o); tt.want == Take && v.Decision != Take {
			t.Errorf("%s: at MAIL %v (%s)", tt.name, v.Decision, v.Reason)
		}
		v := f.Decide(o, tt.header)
		if v.Decision != tt.want || v.Decision == Take && v.Rule != RescueRule {
			t.Errorf("%s: %v by %q (%s), want %v", tt.name, v.Decision, v.Rule, v.Reason, tt.want)
		}
	}
}
