package setup

import (
	"slices"
	"strings"
	"testing"
)

// FuzzPostfix: what postconf prints, with any setting of an administrator in it, is examined to the end.
func FuzzPostfix(f *testing.F) {
	main, services, options := stock(f)
	f.Add("smtpd_milters = { inet:127.0.0.1:8895, { a = b } }", "127.0.0.1:10025 inet n - n - - smtpd", "smtp/inet/smtpd_sender_restrictions = check_sender_access pipemap:{hash:/a,inline:{a=HOLD}}", "a HOLD\n")
	f.Add("smtpd_restriction_classes = a, b\na = b\nb = a, check_policy_service {", "", "", "")
	f.Add("transport_maps = hash:/t\nrelayhost = [::1]:", "x unix - - n - - smtp", "x/unix/ = y", "a :\nb :[\n@ smtp:\n")
	f.Add("header_checks = pcre:/h\nvirtual_alias_maps = regexp:/v", "", "", "/\\/ HOLD\n!\n/a/ HOLD")
	f.Fuzz(func(t *testing.T, m, s, o, file string) {
		p, err := ParsePostfix(main+m, services+s, options+o)
		if err != nil {
			return
		}
		read := func(string) (string, error) { return file, nil }
		if _, err := Examine(Subject{MTA: &MTA{Postfix: p, ReadFile: read}, Config: defaults()}); err != nil {
			t.Error(err)
		}
	})
}

// FuzzSendmail: the same for sendmail.cf.
func FuzzSendmail(f *testing.F) {
	f.Add(sendmailCF, "")
	f.Add("DZ1\nO A=\nO DaemonPortOptions=P,I=;=\nX\nXa,S=inet:,T=;:\nD{\nD\nKmailertable\nDS:\n", "a b\n")
	f.Fuzz(func(t *testing.T, cf, file string) {
		s, err := ParseSendmail(cf)
		if err != nil {
			return
		}
		read := func(string) (string, error) { return file, nil }
		if _, err := Examine(Subject{MTA: &MTA{Sendmail: s, ReadFile: read}, Config: defaults()}); err != nil {
			t.Error(err)
		}
	})
}

// FuzzWords: nothing but separators is lost.
func FuzzWords(f *testing.F) {
	f.Add("a, { b, c } d")
	f.Add("}{ }")
	f.Fuzz(func(t *testing.T, list string) {
		plain := func(s string) string { // byte by byte: two halves of a character may stand around a separator
			return string(slices.DeleteFunc([]byte(s), func(c byte) bool { return strings.IndexByte(separators, c) >= 0 }))
		}
		if got := strings.Join(words(list), ""); plain(got) != plain(list) {
			t.Errorf("%q became %q", list, got)
		}
	})
}

// FuzzEntries: an entry has a key, and its text comes from the table.
func FuzzEntries(f *testing.F) {
	for _, kind := range []string{"hash", "pcre", "cidr", "inline"} {
		f.Add("a b\n /c/ d\n# e\n", kind)
		f.Add("{ a = b, { c = d e } }", kind)
		f.Add("/a\\/b/i HOLD\n! /x/ FILTER y\n", kind)
	}
	f.Fuzz(func(t *testing.T, text, kind string) {
		entries, err := table{kind, text}.entries(func(string) (string, error) { return text, nil })
		if err != nil {
			return
		}
		for _, e := range entries {
			if kind != "inline" && kind != "static" && e.key == "" {
				t.Errorf("an entry without a key in %q", text)
			}
			if joined := strings.ContainsAny(text, " \t"); !joined && !strings.Contains(text, e.key) { // a continued line is joined by one blank
				t.Errorf("key %q does not stand in %q", e.key, text)
			}
		}
		_ = hiddenIn(entries)
	})
}
