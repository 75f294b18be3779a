package filter

import (
	"net/netip"
	"strings"
	"testing"
)

const host = "mx.example.org"

func compile(t testing.TB, rules ...Rule) *Filter {
	t.Helper()
	c := DefaultConfig()
	c.Rule, c.Defaults = rules, len(rules) == 0
	f, err := Compile(c, host, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func offer() *Offer {
	return &Offer{
		Listener: "smtpd", Port: "25", ClientName: "app.example.com", ClientAddr: netip.MustParseAddr("192.0.2.9"),
		Sender: "news@example.com",
	}
}

func lines(s ...string) []byte { return []byte(strings.Join(s, "\r\n") + "\r\n") }

func no() *bool { b := false; return &b }

func TestDefaultRules(t *testing.T) {
	f := compile(t)
	for _, tt := range []struct {
		name   string
		header []byte
		want   Decision
		rule   string
	}{
		{"plain mail", lines("Subject: hi", "From: a@b.example"), Pass, ""},
		{"empty header", nil, Pass, ""},
		{"listmonk", lines("X-Listmonk-Campaign: 1f", "List-Unsubscribe: <https://x.example>"), Take, "listmonk"},
		{"mautic", lines("List-Unsubscribe: <mailto:u@x>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"), Take, "list-unsubscribe"},
		{"phplist", lines("X-phpList-version: 3", "X-MessageID: 7", "X-ListMember: a@b.example"), Take, "phplist"},
		{"civicrm", lines("Precedence: bulk", "X-CiviMail-Bounce: b@x.example"), Take, "civimail"},
		{"wordpress newsletter", lines("X-Newsletter-Email-Id: 4"), Take, "newsletter"},
		{"campaign by prefix", lines("X-CampaignID: 9"), Take, "campaign"},
		{"mailman", lines("Precedence: list", "List-Id: <l.example.com>"), Take, "precedence-list"},
		{"feedback id", lines("Feedback-ID: a:b:c:d"), Take, "feedback-id"},
		{"sympa says Precedence twice", lines("Precedence: first-class", "Precedence: bulk"), Take, "precedence"},
		{"precedence bulk, folded", lines("Precedence:", "\tBulk"), Take, "precedence"},
		{"precedence in another word", lines("Precedence: unlisted"), Pass, ""},
		{"alert", lines("Precedence: bulk", "Auto-Submitted: auto-generated"), Pass, "auto-generated"},
		{"generated, and posted to a list", lines("Auto-Submitted: auto-generated", "List-Id: <l.example.com>", "List-Post: <mailto:l@example.com>"), Take, "list-post"},
		{"generated, with a list's name", lines("Auto-Submitted: auto-generated", "List-Id: <l.example.com>"), Pass, "auto-generated"},
		{"opt in", lines("x-millrace: YES"), Take, "x-millrace-yes"},
		{"opt out wins", lines("List-Id: <l.example.com>", "X-Millrace: no"), Pass, "x-millrace-no"},
		{"vacation reply on a list", lines("List-Id: <l.example.com>", "Auto-Submitted: auto-replied (vacation)"), Pass, "list-id"},
		{"notice with a list header", lines("List-Id: <l.example.com>", "Auto-Submitted: auto-notified; owner=x"), Take, "list-id"},
		{"name in a body-like line", lines("Subject: x", " List-Id: folded, not a field"), Pass, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := f.Decide(offer(), tt.header)
			if v.Decision != tt.want || v.Rule != tt.rule {
				t.Errorf("%v by %q (%s), want %v by %q", v.Decision, v.Rule, v.Reason, tt.want, tt.rule)
			}
			if v.Decision == Pass && v.Reason == "" {
				t.Error("passes without a reason")
			}
		})
	}
}

// TestOwnRulesStandBeforeTheDefaults: the first rule in a file does not switch the others off.
func TestOwnRulesStandBeforeTheDefaults(t *testing.T) {
	own := Rule{Name: "invoices", Sender: "*@billing.example.com", Take: no()}
	newsletter := lines("List-Unsubscribe: <mailto:u@x>")
	for _, tt := range []struct {
		name     string
		defaults bool
		sender   string
		want     Decision
		rule     string
	}{
		{"own rule first", true, "x@billing.example.com", Pass, "invoices"},
		{"then the defaults", true, "news@example.com", Take, "list-unsubscribe"},
		{"own rules alone", false, "news@example.com", Pass, ""},
	} {
		c := DefaultConfig()
		c.Rule, c.Defaults = []Rule{own}, tt.defaults
		f, err := Compile(c, host, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := offer()
		o.Sender = tt.sender
		if v := f.Decide(o, newsletter); v.Decision != tt.want || v.Rule != tt.rule {
			t.Errorf("%s: %v by %q, want %v by %q", tt.name, v.Decision, v.Rule, tt.want, tt.rule)
		}
	}
}

func TestNeverTaken(t *testing.T) {
	f := compile(t, Rule{Name: "all", Client: "192.0.2.0/24"})
	mark := "Received: from app.example.com\r\n\tby " + host + "\r\n (Millrace) with ESMTP id 4x; date"
	for _, tt := range []struct {
		name   string
		offer  func(*Offer)
		header []byte
		want   string
	}{
		{"null sender", func(o *Offer) { o.Sender = "" }, lines("Subject: x"), "null sender"},
		{"announced too large", func(o *Offer) { o.Size = 1 << 40 }, lines("Subject: x"), "over size_limit"},
		{"auto-replied", nil, lines("Auto-Submitted: auto-replied"), "auto-replied"},
		{"auto-notified without list header", nil, lines("Auto-Submitted: Auto-Notified; x"), "auto-notified"},
		{"reply among several", nil, lines("Auto-Submitted: auto-replied", "Auto-Submitted: auto-notified"), "auto-replied"},
		{"has been here", nil, lines("Received: x", mark, "Subject: x"), "has been through us already"},
		{"loops", nil, []byte(strings.Repeat("Received: from a by b; c\r\n", 51)), "over max_hops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := offer()
			if tt.offer != nil {
				tt.offer(o)
			}
			if v := f.Decide(o, tt.header); v.Decision != Pass || v.Reason != tt.want {
				t.Errorf("%v: %q, want pass: %q", v.Decision, v.Reason, tt.want)
			}
		})
	}
	// What is close to the above and nevertheless taken.
	for _, header := range [][]byte{
		[]byte(strings.Repeat("Received: from a by b; c\r\n", 50)),
		lines("Received: by other.example.org (Millrace) with ESMTP id 1"),
		lines("Received: by " + host + " (Postfix) with ESMTP id 1"),
		lines("Subject: by " + host + " (Millrace)"),
		lines("Auto-Submitted: no"),
	} {
		if v := f.Decide(offer(), header); v.Decision != Take {
			t.Errorf("%.60q passes: %s", header, v.Reason)
		}
	}
}

func TestEarly(t *testing.T) {
	byHeader := Rule{Name: "h", Header: "List-Id"}
	keep := Rule{Name: "keep", Header: "X-Keep", Take: no()}
	byUser := Rule{Name: "u", SASLUser: "news"}
	keepClient := Rule{Name: "keep-client", Client: "192.0.2.9", Take: no()}
	for _, tt := range []struct {
		name  string
		rules []Rule
		offer func(*Offer)
		want  Decision
		rule  string
	}{
		{"header rule", []Rule{byHeader}, nil, Unknown, ""},
		{"null sender", []Rule{byHeader}, func(o *Offer) { o.Sender = "" }, Pass, ""},
		{"too large", []Rule{byHeader}, func(o *Offer) { o.Size = 60 << 20 }, Pass, ""},
		{"no rule can match", []Rule{byUser}, nil, Pass, ""},
		{"login", []Rule{byUser}, func(o *Offer) { o.SASLUser = "news" }, Take, "u"},
		{"keep by header, then login", []Rule{keep, byUser}, func(o *Offer) { o.SASLUser = "news" }, Unknown, ""},
		{"keep by header only", []Rule{keep, byUser}, nil, Pass, ""},
		{"keep by client first", []Rule{keepClient, byHeader}, nil, Pass, "keep-client"},
		{"header rule of another sender", []Rule{{Header: "List-Id", Sender: "other.example"}}, nil, Pass, ""},
		{"header rule of this sender", []Rule{{Header: "List-Id", Sender: "example.com"}}, nil, Unknown, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := compile(t, tt.rules...)
			o := offer()
			if tt.offer != nil {
				tt.offer(o)
			}
			if v := f.Early(o); v.Decision != tt.want || v.Rule != tt.rule {
				t.Errorf("%v by %q, want %v by %q", v.Decision, v.Rule, tt.want, tt.rule)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	macros := map[string]string{"bulk_class": "News-7"}
	for _, tt := range []struct {
		name string
		rule Rule
		want bool
	}{
		{"listener by name", Rule{Listener: "SMTPD"}, true},
		{"listener by port", Rule{Listener: "25"}, true},
		{"other listener", Rule{Listener: "submission"}, false},
		{"macro is there", Rule{Macro: "bulk_class"}, true},
		{"macro with braces and value", Rule{Macro: "{bulk_class}=news-*"}, true},
		{"macro with another value", Rule{Macro: "bulk_class=alerts"}, false},
		{"macro is not there", Rule{Macro: "other"}, false},
		{"any user, nobody logged in", Rule{SASLUser: "*"}, false},
		{"all conditions hold", Rule{Listener: "25", Sender: "example.com", Header: "Subject", Value: "sale"}, true},
		{"all but one", Rule{Listener: "25", Sender: "example.net", Header: "Subject", Value: "sale"}, false},
		{"value elsewhere in the field", Rule{Header: "Subject", Value: "SALE$"}, true},
		{"value across a fold", Rule{Header: "X-Long", Value: "^one two$"}, true},
		{"value not there", Rule{Header: "Subject", Value: "^sale"}, false},
		{"long name", Rule{Header: "X-" + strings.Repeat("y", 80) + "*"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := compile(t, tt.rule)
			o := offer()
			o.Macro = func(name string) string { return macros[name] }
			h := lines("Subject: Big Sale", "X-Long: one", " two", "X-"+strings.Repeat("y", 80)+"z: 1")
			if got := f.Decide(o, h).Decision == Take; got != tt.want {
				t.Errorf("takes: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHopeless(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules []Rule
		want  bool
	}{
		{"header rules", DefaultRules(), false},
		{"other listener only", []Rule{{Header: "List-Id", Listener: "bulk"}}, true},
		{"kept by client before all else", []Rule{{Client: "192.0.2.0/24", Take: no()}, {Header: "List-Id"}}, true},
		{"kept for one sender", []Rule{{Client: "192.0.2.0/24", Sender: "x@y", Take: no()}, {Header: "List-Id"}}, false},
		{"kept after a rule that takes", []Rule{{Header: "List-Id"}, {Client: "192.0.2.0/24", Take: no()}}, false},
	} {
		if got := compile(t, tt.rules...).Hopeless(offer()); got != tt.want {
			t.Errorf("%s: hopeless %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTakes(t *testing.T) {
	c := DefaultConfig()
	c.LocalDomains = []string{"Example.NET", ".intra.example"}
	f, err := Compile(c, host, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mailer, domain string
		want           bool
	}{
		{"smtp", "gmail.example", true},
		{"SMTP", "gmail.example", true},
		{"esmtp", "gmail.example", true},
		{"", "gmail.example", true},
		{"local", "gmail.example", false},
		{"virtual", "gmail.example", false},
		{"error", "gmail.example", false},
		{"relay", "gmail.example", false},
		{"smtp", "example.net", false},
		{"", "EXAMPLE.net.", false},
		{"", "a.example.net", true},
		{"", "x.intra.example", false},
		{"", "intra.example", true},
		{"", "localhost", false},
		{"", host, false},
		{"smtp", "", false},
	} {
		if got := f.Takes(tt.mailer, tt.domain); got != tt.want {
			t.Errorf("Takes(%q, %q) = %v", tt.mailer, tt.domain, got)
		}
	}
}

func TestCounts(t *testing.T) {
	f := compile(t, Rule{Name: "a", Header: "A"}, Rule{Name: "keep", Sender: "k@x", Take: no()}, Rule{Name: "b", Header: "B"})
	f.Decide(offer(), lines("A: 1", "B: 1"))
	f.Decide(offer(), lines("A: 1", "Auto-Submitted: auto-replied"))
	f.Decide(offer(), lines("B: 1"))
	f.Decide(offer(), lines("C: 1"))
	kept := offer()
	kept.Sender = "k@x"
	if v := f.Decide(kept, lines("B: 1")); v.Reason != "passed by rule keep: take = false" {
		t.Errorf("reason %q", v.Reason)
	}
	want := []RuleStatus{{Rule: "a", Passed: 1, Chosen: 1}, {Rule: "keep", Passed: 1}, {Rule: "b", Chosen: 1}}
	for i, got := range f.Status() {
		if got != want[i] {
			t.Errorf("%+v, want %+v", got, want[i])
		}
	}
}

func TestMacros(t *testing.T) {
	f := compile(t, Rule{Macro: "{bulk_class}=x"}, Rule{Macro: "bulk_class=y"}, Rule{Macro: " r "})
	if got := strings.Join(f.Macros(), ","); got != "bulk_class,r" {
		t.Errorf("macros %q", got)
	}
}

// FuzzDecide holds the rules that no header may get around.
func FuzzDecide(f *testing.F) {
	f.Add("a@b", []byte("List-Id: x\r\nReceived: by mx.example.org (Millrace) with ESMTP\r\n"))
	f.Add("", []byte("Precedence: bulk\r\n"))
	f.Add("a@b", []byte("Auto-Submitted: auto-replied\r\nList-Id:\r\n\tx"))
	f.Add("a@b", []byte(":\n\n x: y\r\n::"))
	filter := compile(f)
	f.Fuzz(func(t *testing.T, sender string, header []byte) {
		o := offer()
		o.Sender = sender
		v := filter.Decide(o, header)
		if v.Decision == Unknown || v.Decision == Take && (v.Rule == "" || sender == "") {
			t.Errorf("%+v for sender %q", v, sender)
		}
		marked := append(filter.Received(Trace{Helo: sender, For: sender}), header...)
		if v := filter.Decide(o, marked); v.Decision != Pass {
			t.Errorf("taken although it carries our own mark: %+v", v)
		}
		if early := filter.Early(o); early.Decision == Pass && v.Decision == Take {
			t.Errorf("Early passes (%s) what Decide takes (%s)", early.Reason, v.Rule)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	f := compile(b)
	h := lines("Received: from a by b; c", "Subject: hello", "From: a@b.example", "To: c@d.example", "Date: now",
		"Message-ID: <1@b.example>", "MIME-Version: 1.0", "Content-Type: text/plain", "X-Mailer: x", "DKIM-Signature: v=1; a=rsa;",
		"List-Id: <l.example.com>", "Precedence: list")
	o := offer()
	b.ReportAllocs()
	for b.Loop() {
		if f.Decide(o, h).Decision != Take {
			b.Fatal("not taken")
		}
	}
}
