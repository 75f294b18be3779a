package filter

import (
	"strings"
	"testing"
)

// What Postfix 3.7 and Sendmail 8.17 send for a recipient, and whether Millrace may send the mail straight to the domain.
func TestDetour(t *testing.T) {
	c := DefaultConfig()
	c.NextHops = []string{"[Smart.example]:25", "mx.partner.example"}
	f, err := Compile(c, host, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		hop        Hop
		want       detour
	}{
		{"Postfix, by MX", "Ann@A.test", Hop{Mailer: "smtp", Host: "A.test", Addr: "ann@a.test"}, straight},
		{"Postfix, dot at the end", "x@b.Test.", Hop{Mailer: "smtp", Host: "b.Test", Addr: "x@b.test"}, straight},
		{"Postfix, quotes", `"a\"b"@k.test`, Hop{Mailer: "smtp", Host: "k.test", Addr: `"a\"b"@k.test`}, straight},
		{"Postfix, quotes without need", `"ab"@k.test`, Hop{Mailer: "smtp", Host: "k.test", Addr: "ab@k.test"}, straight},
		{"Postfix, UTF-8", "ann@BÜCHER.test", Hop{Mailer: "smtp", Host: "BÜCHER.test", Addr: "ann@bücher.test"}, straight},
		{"Postfix, relayhost", "x@a.test", Hop{Mailer: "smtp", Host: "[127.0.0.1]:9", Addr: "x@a.test"}, elsewhere},
		{"Postfix, transport_maps", "x@d.test", Hop{Mailer: "smtp", Host: "other.test", Addr: "x@d.test"}, elsewhere},
		{"Postfix, another port", "x@d.test", Hop{Mailer: "smtp", Host: "d.test:2525", Addr: "x@d.test"}, elsewhere},
		{"Postfix, relayhost that is listed", "x@a.test", Hop{Mailer: "smtp", Host: "[smart.example]:25", Addr: "x@a.test"}, straight},
		{"Sendmail, by MX", "X@b.Test.", Hop{Mailer: "esmtp", Host: "b.test.", Addr: "X@b.Test"}, straight},
		{"Sendmail, mailertable", "x@a.test", Hop{Mailer: "esmtp", Host: "[mx.other.test]", Addr: "x@a.test"}, elsewhere},
		{"Sendmail, mailertable that is listed", "x@a.test", Hop{Mailer: "esmtp", Host: "mx.partner.example.", Addr: "x@a.test"}, straight},
		{"Sendmail, virtusertable", "info@v.test", Hop{Mailer: "esmtp", Host: "far.test.", Addr: "ann@far.test"}, redirected},
		{"Sendmail, virtusertable within a domain", "info@v.test", Hop{Mailer: "esmtp", Host: "v.test.", Addr: "ann@v.test"}, redirected},
		{"sendmail(1)", "x@a.test", Hop{}, unsaid},
		{"mailer alone", "x@a.test", Hop{Mailer: "smtp"}, unsaid},
		{"no address", "x@a.test", Hop{Mailer: "smtp", Host: "a.test"}, straight},
		{"routed to the door", "x@a.test", Hop{Routed: true}, straight},
	} {
		if got := f.detour(tt.path, tt.hop); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	c.WithoutMailer = true
	if f, err = Compile(c, host, nil); err != nil {
		t.Fatal(err)
	}
	if got := f.detour("x@a.test", Hop{}); got != straight {
		t.Errorf("without_mailer: %d", got)
	}
	if got := f.detour("x@a.test", Hop{Mailer: "smtp", Host: "[smart]"}); got != elsewhere {
		t.Errorf("without_mailer opens more than that: %d", got)
	}
}

// The log names each detour once, and only for bulk mail.
func TestDetourIsTold(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	offered := func(header string, hop Hop) string {
		m := s.in.Begin(Offer{}, nil)
		defer m.Dismiss()
		m.SetSender(ParseCommand("<a@b.example>"))
		m.AddRcpt(ParseCommand("<c@d.example>"), hop)
		m.HeaderLine([]byte(header))
		m.EndHeader(nil)
		if m.Left() == leftNobody && (m.cause == CauseRoute) != (hop.Mailer != "lmtp") {
			t.Errorf("%+v is counted as %q", hop, m.cause)
		}
		return m.Left()
	}
	const bulk, letter = "List-Id: <l.example>", "Subject: x"
	smart := Hop{Mailer: "relay", Host: "smart.example"}
	offered(letter, smart)
	if log := s.log.String(); log != "" {
		t.Errorf("a letter: %s", log)
	}
	for range 3 {
		if left := offered(bulk, smart); left != leftNobody {
			t.Errorf("left: %q", left)
		}
		offered(bulk, Hop{})
		offered(bulk, Hop{Mailer: "lmtp", Host: "unix:private/lmtp"})
	}
	log := s.log.String()
	if strings.Count(log, detourLines[elsewhere]) != 1 || strings.Count(log, detourLines[unsaid]) != 1 || !strings.Contains(log, "host=smart.example") {
		t.Errorf("log: %s", log)
	}
	if strings.Contains(log, "lmtp") {
		t.Error("mail for a local mailbox is named in the log")
	}
}

func TestNextHopsAreValidated(t *testing.T) {
	for hop, want := range map[string]string{
		"[smarthost.example.net]:25": "", "smarthost.example.net": "", "[192.0.2.1]": "",
		"":                     "next_hops[0]: ",
		"smtp:[relay.test]:25": `next_hops[0]: "smtp:[relay.test]:25" names a transport too, which belongs into mailers; write "[relay.test]:25"`,
		"a b":                  "next_hops[0]: ",
	} {
		c := DefaultConfig()
		c.NextHops = []string{hop}
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %q", hop, err, want)
		}
	}
}
