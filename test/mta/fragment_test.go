package mta

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/load"
)

const contrib = "../../contrib/postfix"

func readContrib(t *testing.T) *Fragment {
	t.Helper()
	f, err := ReadFragment(contrib)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReadFragment(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.cf":   "# c\n\na = 1\nb = {\n  x, y }\n c\n",
		"master.cf": "smtp inet n - y - - smtpd\n  # c\n  -o d=1 -o e=\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadFragment(dir)
	want := &Fragment{
		Main:   []Setting{{"a", "1"}, {"b", "{ x, y } c"}},
		Master: []Service{{"smtp", "inet", "smtp inet n - y - - smtpd", []Setting{{"d", "1"}, {"e", ""}}}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if r := got.Replace("1", "2"); r.Main[0].Value != "2" || r.Master[0].Options[0].Value != "2" || got.Main[0].Value != "1" {
		t.Errorf("Replace: %+v", r)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "no equals", "two words = 1", "= 1"} {
		if _, err := parseSetting(text); err == nil {
			t.Errorf("setting %q was let pass", text)
		}
	}
	for _, text := range []string{"", "smtp inet n - y -", "smtp inet n - y - - smtpd -o", "smtp inet n - y - - smtpd -v -v"} {
		if _, err := parseService(text); err == nil {
			t.Errorf("service %q was let pass", text)
		}
	}
}

// TestFragmentOnDeadMillrace applies contrib/postfix unchanged. Nobody listens at the milter's socket, so all mail
// must flow, also the mail that is handed back at the second listener.
func TestFragmentOnDeadMillrace(t *testing.T) {
	far, remote, _ := farEnd(t)
	back := awayAddr(t)
	f := readContrib(t).Replace("127.0.0.1:10026", back)
	p := startPostfix(t, PostfixConfig{Relay: remote, Fragment: f})
	first := send(t, far, load.Config{Addr: p.Addr, Messages: 10, Prefix: "in"})
	before, err := p.Log()
	if err != nil {
		t.Fatal(err)
	}
	second, err := load.Run(t.Context(), load.Config{Addr: back, Messages: 10, Prefix: "back"})
	if err != nil || second.Acked() != 10 {
		t.Fatalf("handed back: %d of 10, %v", second.Acked(), err)
	}
	if err := far.Wait(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	if err := load.Compare(append(first.Records, second.Records...), far.All()).Err(); err != nil {
		t.Error(err)
	}
	log, err := p.Log()
	if err != nil || strings.Count(log[len(before):], " client=") < 10 || strings.Contains(log, "postfix/millrace/") {
		t.Errorf("the second listener does not log as Postfix does, so that tools for Postfix's log miss its lines: %v", err)
	}
	if strings.Count(log, "warning: connect to Milter service") == 0 {
		t.Error("nobody tried to reach the milter")
	}
	if strings.Contains(log[len(before):], "Milter service") {
		t.Error("the second listener asks the milter")
	}
}
