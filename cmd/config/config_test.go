package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// loadText loads a text as the file c.toml of a host that has no full name.
func loadText(text string) (*Config, error) {
	l := loader{file: "c.toml", hostname: func() (string, error) { return "box", nil }}
	return l.load(text)
}

func TestTenLinesAreEnough(t *testing.T) {
	c, err := Load("testdata/ten-lines.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Hostname, want.DNS.Hostname, want.Mode, want.File = "mail.example.org", "mail.example.org", "deliver", "testdata/ten-lines.toml"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestFull holds that every key can be set and that testdata/full.toml shows every key.
func TestFull(t *testing.T) {
	c, err := Load("testdata/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Retry.Schedule, []time.Duration{time.Minute, 10 * time.Minute, 90 * time.Minute}; !slices.Equal(got, want) {
		t.Errorf("retry.schedule: %v", got)
	}
	if r := c.Bulk.Rule; len(r) != 2 || *r[0].Take || r[1].Take != nil || r[1].Value != `^<news\.` {
		t.Errorf("bulk.rule: %+v", r)
	}
	if c.Snapshot.Ack != "written" || c.Milter.MaxBuffered != 1<<28 || c.DNS.Own[0].String() != "198.51.100.7" || len(c.Route) != 4 {
		t.Errorf("%+v", c)
	}
	text, _ := os.ReadFile("testdata/full.toml")
	differs(t, locate(string(text)), "", reflect.ValueOf(*c), reflect.ValueOf(*DefaultConfig()))
}

// differs checks that each key below path is in the file and has another value than the default.
func differs(t *testing.T, p *places, path string, got, def reflect.Value) {
	for key, index := range fields(got.Type()) {
		key, g, d := join(path, key), got.FieldByIndex(index), def.FieldByIndex(index)
		switch {
		case g.Kind() == reflect.Struct && !isText(g.Type()):
			differs(t, p, key, g, d)
		case p.offset[key] == 0:
			t.Errorf("%s is not in full.toml", key)
		case reflect.DeepEqual(g.Interface(), d.Interface()):
			t.Errorf("%s is still %v", key, g)
		}
	}
}

func TestDefaultIsValid(t *testing.T) {
	c := DefaultConfig()
	c.Hostname = "mail.example.org"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestHostnameOfTheSystem(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want string // of the error; empty for none
	}{
		{"mail.example.org", nil, ""},
		{"box", nil, `hostname: is not given, and this host calls itself "box" only`},
		{"a_b.example.org", nil, `hostname: "a_b.example.org" is not a host name`},
		{"", errors.New("uname failed"), "hostname: is not given, and the system does not say: uname failed"},
	} {
		l := loader{file: "c.toml", hostname: func() (string, error) { return test.name, test.err }}
		c, err := l.load("mode = 'observe'")
		switch {
		case test.want == "" && (err != nil || c.Hostname != test.name || c.DNS.Hostname != test.name):
			t.Errorf("%q: %v, %v", test.name, c, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%q: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestFilesThatCannotBeLoaded(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "none.toml"), "there is no such file"},
		{"directory missing", filepath.Join(dir, "none", "c.toml"), "there is no such file"},
		{"below a file", filepath.Join(write("file", "x", 0o600), "c.toml"), "cannot be read: not a directory"},
		{"directory", dir, "is a directory"},
		{"empty", write("empty.toml", "", 0o600), "sets nothing"},
		{"only comments", write("comments.toml", "# hostname = 'a.b'\n\n", 0o600), "sets nothing"},
		{"too large", write("large.toml", strings.Repeat("#\n", maxConfig), 0o600), "is larger than 4194304 bytes"},
		{"unreadable", write("secret.toml", "mode = 'observe'", 0), "permission denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "unreadable" && os.Geteuid() == 0 {
				t.Skip("root reads everything")
			}
			_, err := Load(test.path)
			if err == nil {
				t.Fatal("loaded")
			}
			if s := err.Error(); !strings.HasPrefix(s, test.path+": "+test.want) && !strings.Contains(s, test.want) || strings.Contains(s, "\n") {
				t.Errorf("got %q", s)
			}
		})
	}
}

func TestByteOrderMarkAndCRLF(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte("\uFEFFhostname = \"a.example\"\r\nmode = \"deliver\"\r\n[queue]\r\nordre = 'x'\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	if want := path + ":4: queue.ordre: is not a known key; did you mean queue.order?"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestSeveralErrors: one run of "check" shows everything that stands in the way, in the order of the file.
func TestSeveralErrors(t *testing.T) {
	const types = `
hostname = 5
mod = "deliver"
[retry]
schedule = ["5m", 60, "soon"]
[[bulk.rule]]
name = "x"
tkae = true
`
	checkLines(t, types, []string{
		`c.toml:2:12: hostname: wants a string in quotes, not the number 5; write "5"`,
		`c.toml:3: mod: is not a known key; did you mean mode?`,
		`c.toml:5:19: retry.schedule[1]: wants a duration in quotes, like "5m", not the number 60; write "60s" for seconds`,
		`c.toml:5:23: retry.schedule[2]: "soon" is not a duration; write it like "90s", "5m" or "1h30m"`,
		`c.toml:8: bulk.rule[0].tkae: is not a known key; did you mean bulk.rule[0].take?`,
	})
	const values = `
mode = "both"
[queue]
order = "shortest"
[route]
"b.example" = "[x"
"a.example" = ":25"
[dns]
min_ttl = "2h"
parallel = 1
`
	checkLines(t, values, []string{
		`c.toml:2: mode: "both" is not known; use "observe" or "deliver"`,
		`c.toml:4: queue.order: "shortest" is not an order; use "round-robin", "longest" or "longest-aged"`,
		`c.toml:6: route."b.example": next hop "[x": lacks the closing bracket; write "[host]:port"`,
		`c.toml:7: route."a.example": next hop ":25": is no host; write "host:port" or "[host]:port"`,
		`c.toml:8: dns.max_ttl: 1h0m0s is less than min_ttl, 2h0m0s`,
		`c.toml:10: dns.parallel: 1 is less than 4`,
		`c.toml: hostname: is not given, and this host calls itself "box" only; write hostname = "mail.example.org"`,
	})
}

func checkLines(t *testing.T, text string, want []string) {
	t.Helper()
	_, err := loadText(text)
	if err == nil {
		t.Fatal("loaded")
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d of\n%s\nwant\n%s", i+1, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestErrorsStayOnTheirLine(t *testing.T) {
	for _, text := range []string{
		`"a\nb" = 1`, `mode = "x\u001b[2J\n"`, "hostname = \"a.b\"\n[route]\n\"x\\r\\ny\" = 'z'", "mode = \"\x00\"", "mode = \"\xff\"",
	} {
		_, err := loadText(text)
		var errs Errors
		if !errors.As(err, &errs) {
			t.Fatalf("%q: %v", text, err)
		}
		for _, e := range errs {
			if s := e.Error(); strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q: control characters in %q", text, s)
			}
		}
	}
}

// FuzzLoad: no text may panic, and none may be refused without a line that says why.
func FuzzLoad(f *testing.F) {
	for _, b := range badConfigs {
		f.Add(b.text)
	}
	for _, name := range []string{"testdata/full.toml", "testdata/ten-lines.toml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := loadText(text)
		var errs Errors
		switch {
		case err == nil && c.Validate() != nil:
			t.Fatal("loaded, but not valid")
		case err != nil && (!errors.As(err, &errs) || len(errs) == 0):
			t.Fatalf("refused without a reason: %v", err)
		}
		for _, e := range errs {
			if e.Text == "" || strings.Contains(e.Error(), "\n") || e.Line > strings.Count(text, "\n")+1 {
				t.Errorf("%#v", e)
			}
		}
	})
}

// TestSocketsThatDoNotCollide: only what can never work is refused.
func TestSocketsThatDoNotCollide(t *testing.T) {
	for _, text := range []string{
		"milter.listen = ['inet:127.0.0.1:8895', 'inet:127.0.0.2:8895', 'inet6:[::1]:8895']",
		"milter.listen = ['inet:127.0.0.1:0', 'inet:127.0.0.1:0']",
		"milter.listen = ['unix:/run/a', 'unix:/run/b']",
		"milter.listen = ['inet:0.0.0.0:8895']\nmilter.allow = ['192.0.2.25/32']\nroute.'*' = '[relay.example.net]:8895'",
		"milter.listen = ['inet:127.0.0.1:8895']\nbounce.inject = '127.0.0.1:10026'",
		"route.'a.test' = 'relay.test:587'\nroute.'b.test' = 'localhost:26'\nroute.'c.test' = '[::1]:26'\nroute.'d.test' = 'relay.test'",
	} {
		if _, err := loadText("hostname = 'mail.example.org'\n" + text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
