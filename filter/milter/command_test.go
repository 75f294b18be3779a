package milter

import (
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/filter"
)

func TestParseCommand(t *testing.T) {
	for _, tt := range []struct {
		payload string
		want    filter.Command
	}{
		{"<a@b>\x00", filter.Command{Path: "a@b"}},
		{"<>\x00SIZE=5\x00", filter.Command{Path: "", Params: []string{"SIZE=5"}}},
		{"<a@b>\x00SIZE=5\x00BODY=8BITMIME\x00", filter.Command{Path: "a@b", Params: []string{"SIZE=5", "BODY=8BITMIME"}}},
		{"<a@b> SIZE=5 RET=HDRS\x00", filter.Command{Path: "a@b", Params: []string{"SIZE=5", "RET=HDRS"}}},
		{"<a@b> SIZE=5\x00RET=HDRS\x00", filter.Command{Path: "a@b", Params: []string{"SIZE=5", "RET=HDRS"}}},
		{"a@b\x00", filter.Command{Path: "a@b"}},
		{"a@b SIZE=5\x00", filter.Command{Path: "a@b", Params: []string{"SIZE=5"}}},
		{"  <a@b>\x00", filter.Command{Path: "a@b"}},
		{`<"a b>"@c>` + "\x00", filter.Command{Path: `"a b>"@c`}},
		{`<"a\">"@c> X` + "\x00", filter.Command{Path: `"a\">"@c`, Params: []string{"X"}}},
		{`"a b"@c X` + "\x00", filter.Command{Path: `"a b"@c`, Params: []string{"X"}}},
		{"<<a@b>>\x00", filter.Command{Path: "<a@b", Bad: true, Params: []string{">"}}},
		{"<a@b\x00", filter.Command{Bad: true}},
		{"<a@b>SIZE=5\x00", filter.Command{Path: "a@b", Bad: true, Params: []string{"SIZE=5"}}},
		{"\x00", filter.Command{Path: ""}},
	} {
		got, err := parseCommand([]byte(tt.payload))
		if len(got.Params) == 0 {
			got.Params = nil
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
		if addr, fault := c.Canonical(true); fault == "" && strings.ContainsAny(addr, "\r\n\x00") {
			t.Errorf("no fault found in %q", c.Path)
		}
		// What is deleted at the end must be what was received.
		if !c.Bad && !strings.Contains(string(payload), c.Path) {
			t.Errorf("path %q is not in %q", c.Path, payload)
		}
	})
}

func TestMacrosBelongToTheirCommand(t *testing.T) {
	m := macros{wanted: []string{"j", "i", "daemon_name", "auth_authen", "rcpt_mailer", "odd"}}
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
	m.startCommand('C')
	store("M{auth_authen}\x00alice\x00i\x00Q1\x00")
	m.startCommand('M')
	store("R{rcpt_mailer}\x00smtp\x00")
	m.startCommand('R')
	check("rcpt_mailer", "smtp")
	m.startCommand('R') // another recipient, nothing known
	check("rcpt_mailer", "")
	store("E{i}\x00Q2\x00odd\x00")
	m.startCommand('E')
	check("i", "Q2") // the newest, with or without braces
	check("odd", "")
	check("auth_authen", "alice")
	check("daemon_name", "smtpd")
	m.startCommand('M') // the next message, nothing known
	check("auth_authen", "")
	check("i", "")
	check("j", "mx")
	if got := string(m.sentWith('C', "i")); got != "" {
		t.Errorf("at C: %q", got)
	}
}
