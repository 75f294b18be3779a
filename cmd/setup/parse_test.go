package setup

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	for list, want := range map[string][]string{
		"": nil, " , ,": nil, "a": {"a"}, "a, b\tc": {"a", "b", "c"},
		"{ a, b } c": {"{ a, b }", "c"}, "x:{a b}, y": {"x:{a b}", "y"}, "{{a}} {b": {"{{a}}", "{b"}, "a} b": {"a}", "b"},
	} {
		if got := words(list); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

func TestParseMilter(t *testing.T) {
	for word, want := range map[string]milterRef{
		"inet:h:1":                               {address: "inet:h:1", options: map[string]string{}},
		"{ inet:h:1, a=b, { c = d e } }":         {address: "inet:h:1", options: map[string]string{"a": "b", "c": "d e"}},
		"{unix:x connect_timeout=2s protocol=6}": {address: "unix:x", options: map[string]string{"connect_timeout": "2s", "protocol": "6"}},
		"{}":                                     {address: "{}", options: map[string]string{}},
	} {
		want.text = word
		if got := parseMilter(word); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", word, got, want)
		}
	}
}

func TestMeets(t *testing.T) {
	for _, tt := range []struct {
		milter string
		chroot bool
		listen string
		want   bool
	}{
		{"inet:127.0.0.1:8895", false, "inet:127.0.0.1:8895", true},
		{"inet:localhost:8895", true, "inet:127.0.0.1:8895", true},
		{"inet:[127.0.0.1]:8895", false, "inet:127.0.0.1:8895", true},
		{"inet6:[::1]:8895", false, "inet6:[::1]:8895", true},
		{"inet:[::1]:8895", false, "inet:127.0.0.1:8895", false},
		{"inet:127.0.0.1:8896", false, "inet:127.0.0.1:8895", false},
		{"inet:192.0.2.1:8895", false, "inet:0.0.0.0:8895", true},
		{"inet:192.0.2.1:8895", false, "inet:127.0.0.1:8895", false},
		{"unix:m/s", false, "unix:/q/m/s", true},
		{"unix:m/s", true, "unix:/q/m/s", true},
		{"unix:/q/m/s", false, "local:/q/m/s", true},
		{"unix:/q/m/s", true, "unix:/q/m/s", false},
		{"unix:/m/s", true, "unix:/q/m/s", true},
		{"unix:/m/s", false, "inet:127.0.0.1:8895", false},
		{"nonsense", false, "inet:127.0.0.1:8895", false},
	} {
		m := parseMilter(tt.milter)
		m.resolve("/q", tt.chroot)
		if got := m.meets([]string{"bad", tt.listen}); got != tt.want {
			t.Errorf("%s (chroot %t) and %s: %t", tt.milter, tt.chroot, tt.listen, got)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "30s": 30 * time.Second, "5m": 5 * time.Minute, "1h": time.Hour, "7": 7 * time.Second, "1w": 7 * 24 * time.Hour} {
		if got, ok := duration(text); got != want || !ok {
			t.Errorf("%q: %v %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "s", "-1s", "1y", "99999999999s"} {
		if got, ok := duration(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTablesIn(t *testing.T) {
	for list, want := range map[string]string{
		"hash:/a, proxy:ldap:/b": "hash:/a ldap:/b", "/etc/x": "cdb:/etc/x", "example.org, $x": "",
		"pipemap:{hash:/a,regexp:/b} unionmap:{ inline:{a=b}, hash:/c }": "hash:/a regexp:/b inline:{a=b} hash:/c",
		"{ hash:/a }": "hash:/a", "proxy:": "",
	} {
		var got []string
		for _, table := range tablesIn(list, "cdb") {
			got = append(got, table.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

func TestParseEntries(t *testing.T) {
	const text = "# c\n\na@b  HOLD\n  for a look\n#\nb\n c.d REJECT\n"
	if got, want := parseEntries(text, "hash"), []entry{{"a@b", "HOLD for a look", false}, {"b", "c.d REJECT", false}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	const patterns = "/^a b\\/c/ HOLD x\n!/^d/iH FILTER e:f\nif /x/\n|y| REDIRECT a@b\nendif\n/open HOLD\n"
	want := []entry{{`/^a b\/c/`, "HOLD x", true}, {"/^d/iH", "FILTER e:f", true}, {"|y|", "REDIRECT a@b", true}}
	if got := parseEntries(patterns, "pcre"); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := hiddenIn(want); got != "HOLD in 1 entry, REDIRECT in 1 entry, FILTER in 1 entry" {
		t.Error(got)
	}
}

func TestParsePostfixRefuses(t *testing.T) {
	for _, tt := range [][2]string{{"", ""}, {"mail_version = 3.7\n", "smtp inet\n"}, {"a = b\n", "smtp inet n - y - - smtpd\n"}} {
		if p, err := ParsePostfix(tt[0], tt[1], ""); err == nil {
			t.Errorf("%q was let pass: %+v", tt, p)
		}
	}
}

// TestChroot: what "-" in master.cf means depends on the compatibility level.
func TestChroot(t *testing.T) {
	for level, want := range map[string]bool{"0": true, "2": false, "3.6": false} {
		p, err := ParsePostfix("mail_version = 3.7\ncompatibility_level = "+level+"\n", "smtp inet n - - - - smtpd\n", "")
		if err != nil || p.Services[0].Chroot != want {
			t.Errorf("level %s: %+v, %v", level, p, err)
		}
	}
}

// TestEachCodeStands: a script decides by codes. One that is gone, or that means another severity now, breaks the script.
func TestEachCodeStands(t *testing.T) {
	const want = `
error milter-not-asked, milter-elsewhere, milter-socket, milter-default-action, milter-protocol, inject-refuses, reinject-loop
warning milter-connect-timeout, milter-content-timeout, inject-offers, sendmail-offered, in-flow-delay, held-processes, no-milters, reject-filter, virtual-alias, canonical-maps, srs, masquerade, generic-maps, bcc, content-filter, proxy-filter, header-checks, access-action, policy-action, front-changes-envelope, milter-behind, smtp-checks, route-bypassed, transport-bypassed, relay-login, without-mailer, tls-policy, source-address, soft-bounce, defer-transports
note milter-command-timeout, milter-tcp, no-handback, milter-maps, service-not-offered, route-alone, relay-host, transport-maps, fallback-relay, rate-delay, helo-name, ipv4-only, short-queue-ids, size-limit, writes-first, policy-service, front-milter, table-unreadable
`
	by := make(map[Severity][]string)
	for _, c := range checks() {
		by[c.severity] = append(by[c.severity], c.code)
		if !strings.HasSuffix(c.text, ".") || c.action == "" || c.postfix == nil && c.sendmail == nil {
			t.Errorf("%s: %q %q", c.code, c.text, c.action)
		}
	}
	got := "\n"
	for _, s := range []Severity{Error, Warning, Note} {
		got += s.String() + " " + strings.Join(by[s], ", ") + "\n"
	}
	if got != want {
		t.Errorf("%s", got)
	}
}
