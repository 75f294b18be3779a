package milter

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseCommand(t *testing.T) {
	for _, tt := range []struct {
		payload string
		want    command
	}{
		{"<a@b>\x00", command{path: "a@b"}},
		{"<>\x00SIZE=5\x00", command{path: "", params: []string{"SIZE=5"}}},
		{"<a@b>\x00SIZE=5\x00BODY=8BITMIME\x00", command{path: "a@b", params: []string{"SIZE=5", "BODY=8BITMIME"}}},
		{"<a@b> SIZE=5 RET=HDRS\x00", command{path: "a@b", params: []string{"SIZE=5", "RET=HDRS"}}},
		{"<a@b> SIZE=5\x00RET=HDRS\x00", command{path: "a@b", params: []string{"SIZE=5", "RET=HDRS"}}},
		{"a@b\x00", command{path: "a@b"}},
		{"a@b SIZE=5\x00", command{path: "a@b", params: []string{"SIZE=5"}}},
		{"  <a@b>\x00", command{path: "a@b"}},
		{`<"a b>"@c>` + "\x00", command{path: `"a b>"@c`}},
		{`<"a\">"@c> X` + "\x00", command{path: `"a\">"@c`, params: []string{"X"}}},
		{`"a b"@c X` + "\x00", command{path: `"a b"@c`, params: []string{"X"}}},
		{"<<a@b>>\x00", command{path: "<a@b", bad: true, params: []string{">"}}},
		{"<a@b\x00", command{bad: true}},
		{"<a@b>SIZE=5\x00", command{path: "a@b", bad: true, params: []string{"SIZE=5"}}},
		{"\x00", command{path: ""}},
	} {
		got, err := parseCommand([]byte(tt.payload))
		if len(got.params) == 0 {
			got.params = nil
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v, %v; want %+v", tt.payload, got, err, tt.want)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add([]byte("<a@b>\x00SIZE=5\x00"))
	f.Add([]byte(`<"a\">"@c> X` + "\x00"))
	f.Add([]byte("<\\\x00"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseCommand(payload)
		if err != nil {
			return
		}
		if fault := c.fault(true); fault == "" && strings.ContainsAny(c.path, "\r\n\x00") {
			t.Errorf("no fault found in %q", c.path)
		}
		// What is deleted at the end must be what was received.
		if !c.bad && !strings.Contains(string(payload), c.path) {
			t.Errorf("path %q is not in %q", c.path, payload)
		}
	})
}

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "IPv6:2001:db8::1": "2001:db8::1", "ipv6:2001:db8::1": "2001:db8::1",
		"2001:db8::1": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1",
	} {
		if got := parseAddr(in); got != netip.MustParseAddr(want) {
			t.Errorf("%q: %v", in, got)
		}
	}
	for _, in := range []string{"", "IPv6:", "unknown", "192.0.2.1.5", "[192.0.2.1]"} {
		if got := parseAddr(in); got.IsValid() {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func FuzzParseAddr(f *testing.F) {
	f.Add("IPv6:2001:db8::1")
	f.Add("192.0.2.1")
	f.Fuzz(func(t *testing.T, s string) {
		if a := parseAddr(s); a.IsValid() && parseAddr(a.String()) != a {
			t.Errorf("%q is %v, which is not itself", s, a)
		}
	})
}

func TestMacrosBelongToTheirCommand(t *testing.T) {
	var m macros
	store := func(s string) {
		t.Helper()
		if err := m.store([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name, want string) {
		t.Helper()
		if got := m.lookup(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	store("Cj\x00mx\x00{daemon_name}\x00smtpd\x00")
	m.begin('C')
	store("M{auth_authen}\x00alice\x00i\x00Q1\x00")
	m.begin('M')
	store("R{rcpt_mailer}\x00smtp\x00")
	m.begin('R')
	check("rcpt_mailer", "smtp")
	m.begin('R') // another recipient, nothing known
	check("rcpt_mailer", "")
	store("E{i}\x00Q2\x00odd\x00")
	m.begin('E')
	check("i", "Q2") // the newest, with or without braces
	check("odd", "")
	check("auth_authen", "alice")
	check("daemon_name", "smtpd")
	m.begin('M') // the next message, nothing known
	check("auth_authen", "")
	check("i", "")
	check("j", "mx")
	if got := m.at('C', "i"); got != "" {
		t.Errorf("at C: %q", got)
	}
}

func TestQuiet(t *testing.T) {
	var q quiet
	now := time.Now()
	steps := []struct {
		after      time.Duration
		text       string
		suppressed int
		ok         bool
	}{{0, "a", 0, true}, {0, "a", 0, false}, {time.Millisecond, "a", 0, false}, {0, "b", 0, true}, {time.Second, "a", 2, true}, {time.Second, "a", 0, true}}
	for i, s := range steps {
		now = now.Add(s.after)
		if n, ok := q.allow(s.text, now); n != s.suppressed || ok != s.ok {
			t.Errorf("step %d: %d %v", i, n, ok)
		}
	}
}
