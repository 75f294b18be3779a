package filter

import (
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	long := strings.Repeat("x", 65)
	for _, tt := range []struct {
		path string
		utf8 bool
		want string // the form that goes out, or "!" and why there is none
	}{
		{"", false, ""},
		{"a@b.example", false, "a@b.example"},
		{"a@localhost", false, "a@localhost"},
		{"A.b-c+d=e%f!g/h@B.Example", false, "A.b-c+d=e%f!g/h@B.Example"},
		{"a@my_host.b.example", false, "a@my_host.b.example"},
		{long + "@b.example", false, long + "@b.example"},

		// Needless spelling goes.
		{"a@b.example.", false, "a@b.example"},
		{`"a"@b.example`, false, "a@b.example"},
		{`"a\.b"@b.example`, false, "a.b@b.example"},
		{`"a b"@b.example`, false, `"a b"@b.example`},
		{`"a\ b\@\"\\"@b.example`, false, `"a b@\"\\"@b.example`},
		{`"a..b"@b.example`, false, `"a..b"@b.example`},
		{`""@b.example`, false, `""@b.example`},

		// What is no mailbox stays.
		{"newsletter", false, "!address without a domain"},
		{"a@", false, "!address without a domain"},
		{"a@.", false, "!address without a domain"},
		{"a..b@c.example", false, "!malformed address"},
		{".a@b.example", false, "!malformed address"},
		{"a.@b.example", false, "!malformed address"},
		{"joe(x)@b.example", false, "!malformed address"},
		{"joe@b.example(x)", false, "!malformed address"},
		{"a@b@c.example", false, "!malformed address"},
		{`a"b"@c.example`, false, "!malformed address"},
		{`"a"b@c.example`, false, "!malformed address"},
		{`"a@c.example`, false, "!address without a domain"},
		{`a\@b@c.example`, false, "!malformed address"},
		{"a@b..example", false, "!malformed address"},
		{"a@b.example..", false, "!malformed address"},
		{"a@.b.example", false, "!malformed address"},
		{"a@-b.example", false, "!malformed address"},
		{"a@b,c.example", false, "!malformed address"},
		{"a@" + strings.Repeat("x", 64) + ".example", false, "!malformed address"},
		{" a@b.example ", false, "!blank in an address"},
		{"a @b.example", false, "!blank in an address"},
		{"a@[192.0.2.1]", false, "!address literal"},
		{"a@[IPv6:2001:db8::1]", false, "!address literal"},
		{"a@192.0.2.1", false, "!address literal"},
		{"@x:a@b.example", true, "!source route"},
		{"a\r\n@b", true, "!control character in an address"},
		{"a\x7f@b", true, "!control character in an address"},
		{strings.Repeat("x", 600) + "@b.example", false, "!address too long"},
		{"a@" + strings.Repeat("x.", 130) + "example", false, "!address too long"},
		{"ä@b", false, "!address in UTF-8 without SMTPUTF8"},
		{"ä@bücher.example", true, "ä@bücher.example"},
		{"a@例え。テスト。", true, "a@例え。テスト。"},
		{"a@xn--a.example", true, "a@xn--a.example"},
		{"a@b\u200dc.example", true, "!malformed address"},
		{"a@\u0301b.example", true, "!malformed address"},
		{"a@" + strings.Repeat("ü", 40) + ".example", true, "a@" + strings.Repeat("ü", 40) + ".example"}, // 80 bytes, but 46 as an A-label
		{"a@" + strings.Repeat("x", 58) + "üü.example", true, "!malformed address"},                      // 62 bytes, but 67 as an A-label
		{"a@b。。example", true, "!malformed address"},
		{"a@１２７.０.０.１", true, "!address literal"},
		{"\xe4@b", true, "!address that is not UTF-8"},
	} {
		got, fault := (&Command{Path: tt.path}).Canonical(tt.utf8)
		if fault != "" {
			got = "!" + fault
		}
		if got != tt.want {
			t.Errorf("%.80q: %.80q, want %.80q", tt.path, got, tt.want)
		}
	}
	if _, fault := (&Command{Path: "a@b", Bad: true}).Canonical(false); fault != "no end of the path" {
		t.Errorf("no end: %q", fault)
	}
}

// TestTheEnvelopeIsCanonical: the MTA is told of a recipient in its own spelling, the receiver in the canonical one.
func TestTheEnvelopeIsCanonical(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	d := &lineDoor{in: s.in, lmtp: true}
	script := strings.NewReplacer("<news@example.com>", `<"news"@example.com.>`, "<a@example.net>", `<"a"@example.net.>`,
		"H Sub", "RCPT <a@example.net>\nH Sub").Replace(newsletter(end...))
	if got := d.send(script); got != `ours "a"@example.net., ours a@example.net` {
		t.Errorf("%s\n%s", got, s.log)
	}
	if m := s.heart.taken[0]; m.From() != "news@example.com" || m.RcptCount() != 1 || m.Rcpt(0).Addr != "a@example.net" {
		t.Errorf("%+v", m.Slip.Envelope)
	}
}

// TestOneOddRecipientStaysAlone: the MTA keeps the recipient whose address it alone knows to read, and no other.
func TestOneOddRecipientStaysAlone(t *testing.T) {
	for _, odd := range []string{"root", " b@example.net ", "b..c@example.net", "b@[192.0.2.1]", strings.Repeat("x", 65) + "@example.net"} {
		s := newSite(t, Deliver, wideLimits())
		script := strings.Replace(newsletter(end...), "H Sub", "RCPT <"+odd+">\nH Sub", 1)
		if got := (&lineDoor{in: s.in, lmtp: true}).send(script); got != "ours a@example.net, yours "+odd {
			t.Errorf("%.40q: %s", odd, got)
		}
		if m := s.heart.taken[0]; m.RcptCount() != 1 {
			t.Errorf("%.40q: taken for %v", odd, m.Slip.Rcpts)
		}
	}
}

// TestWhatNoReceiverTakesStays: what would bounce for its address alone is left with the MTA.
func TestWhatNoReceiverTakesStays(t *testing.T) {
	for _, tt := range []struct{ from, to, want string }{
		{"newsletter", "a@example.net", "MAIL: sender: address without a domain"},
		{"a..b@example.com", "a@example.net", "MAIL: sender: malformed address"},
		{"a@[192.0.2.1]", "a@example.net", "MAIL: sender: address literal"},
		{"news@example.com", " joe@example.net ", "EOH: recipient: blank in an address"},
		{"news@example.com", "joe@[192.0.2.1]", "EOH: recipient: address literal"},
		{"news@example.com", strings.Repeat("x", 65) + "@example.net", "EOH: recipient: address too long"},
		{"news@example.com", "joe", "EOH: recipient: address without a domain"},
		{"news@example.com", "", "EOH: recipient: address without a domain"},
	} {
		s := newSite(t, Deliver, wideLimits())
		script := strings.NewReplacer("<news@example.com>", "<"+tt.from+">", "<a@example.net>", "<"+tt.to+">").Replace(newsletter(end...))
		if got := (&lineDoor{in: s.in}).send(script); got != tt.want {
			t.Errorf("%.40q to %.40q: %s, want %s", tt.from, tt.to, got, tt.want)
		}
	}
}

// TestAskingForUTF8IsNoNeed: the need is computed from addresses and header, whatever the client asks for.
func TestAskingForUTF8IsNoNeed(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new string // a change of the newsletter
		want     bool
	}{
		{"plain ASCII", "", "", false},
		{"body", "Hello", "Grüße", false},
		{"domain of the recipient", "example.net", "bücher.example", false},
		{"sender", "news@", "neüs@", true},
		{"recipient", "a@example.net", "ä@example.net", true},
		{"header", "Subject: hi", "Subject: grüße", true},
	} {
		s := newSite(t, Deliver, wideLimits())
		script := strings.Replace(newsletter(end...), "SIZE=500", "SMTPUTF8", 1)
		(&lineDoor{in: s.in}).send(strings.Replace(script, tt.old, tt.new, 1))
		m := s.heart.taken[0]
		if m.UTF8() != tt.want {
			t.Errorf("%s: need %v", tt.name, m.UTF8())
		}
		if trace := m.Content.Letter().Trace; !tt.want && hasEightBit(trace) {
			t.Errorf("%s: our own field makes the header 8-bit: %q", tt.name, trace)
		}
	}
}
