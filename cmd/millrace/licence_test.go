package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/licence"
)

// office is a licensor's and a licensee's directory.
type office struct {
	t   *testing.T
	dir string
}

func newOffice(t *testing.T) *office {
	o := &office{t, t.TempDir()}
	if err := os.Mkdir(o.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) path(name string) string { return filepath.Join(o.dir, name) }

// run runs a command line, in which % is the directory, and wants that exit status and a part of the output.
func (o *office) run(status int, want, line string) string {
	o.t.Helper()
	var out bytes.Buffer
	p := program{out: &out, err: &out}
	args := strings.Fields(strings.ReplaceAll(line, "%", o.dir))
	if got := p.execute(context.Background(), args); got != status || !strings.Contains(out.String(), want) {
		o.t.Errorf("%s: status %d, want %d\n%swant %q", line, got, status, &out, want)
	}
	return out.String()
}

// trust writes a configuration that trusts these keys.
func (o *office) trust(keys ...string) {
	o.t.Helper()
	text := fmt.Sprintf("hostname = 'mail.example.org'\nstate_dir = %q\ncontrol.socket = %q\n[allowance]\nlicence_keys = [", o.path("state"), o.path("none.sock"))
	for _, k := range keys {
		text += fmt.Sprintf("%q,", strings.TrimSpace(k))
	}
	if err := os.WriteFile(o.path("m.toml"), []byte(text+"]\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// TestLicences walks from a key to a licence that is shown, and past those that are refused: the old one stays.
func TestLicences(t *testing.T) {
	o := newOffice(t)
	ours := o.run(0, "=", "licence issue --new-key %/ours.pem")
	theirs := o.run(0, "=", "licence issue --new-key %/theirs.pem")
	o.run(1, "no key was made", "licence issue --new-key %/ours.pem")
	o.trust()
	const sign = "licence issue --licensee Example --until 2099-12-31 --month 1000 "
	o.run(0, "", sign+"--key %/ours.pem --serial 1 --tenant acme:day=5,total=50 -o %/one")
	o.run(1, "licence_keys names no key", "licence install -c %/m.toml %/one")
	o.trust(ours)
	o.run(1, "there is no licence", "licence show -c %/m.toml")
	o.run(0, "licence 1 of Example is installed; the daemon takes it over when it starts", "licence install -c %/m.toml %/one")
	show := o.run(0, "holds    true", "licence show -c %/m.toml")
	for _, want := range []string{"licence  1 of Example", "allows   1,000 a month", "tenant acme 5 a day, 50 in all"} {
		if !strings.Contains(show, want) {
			t.Errorf("no %q in\n%s", want, show)
		}
	}

	o.run(0, "", sign+"--key %/theirs.pem --serial 2 -o %/foreign")
	o.run(0, "", sign+"--key %/ours.pem --serial 3 --server other.example.org -o %/elsewhere")
	o.run(0, "", sign+"--key %/ours.pem --serial 4 --from 2098-01-01 -o %/early")
	o.run(0, "", "licence issue --licensee Example --from 2020-01-01 --until 2020-12-31 --month 5 --key %/ours.pem --serial 5 -o %/late")
	text, err := os.ReadFile(o.path("one"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := os.ReadFile(o.path("foreign"))
	forged := strings.Replace(string(text), payloadOf(string(text)), payloadOf(string(foreign)), 1)
	os.WriteFile(o.path("forged"), []byte(forged), 0o600)
	os.WriteFile(o.path("twice"), []byte(strings.Replace(string(text), "{", `{"key":"x",`, 1)), 0o600)
	os.WriteFile(o.path("large"), nil, 0o600)
	os.Truncate(o.path("large"), 1<<30)
	for _, bad := range []struct{ file, want string }{
		{"foreign", "foreign: allowance.licence_keys has no key"}, {"elsewhere", "foreign: it is for other.example.org, and this host is mail.example.org"},
		{"early", "not yet valid"}, {"late", "expired: it ended at 2021"}, {"forged", "forged"}, {"twice", `key "key" stands there twice`},
		{"large", "larger than 64 KB"}, {"none", "no such file"},
	} {
		o.run(1, bad.want, "licence install -c %/m.toml %/"+bad.file)
		if bad.file != "none" {
			o.run(1, bad.want, "licence show -c %/m.toml %/"+bad.file)
		}
	}
	o.run(0, "licence  1 of Example", "licence show -c %/m.toml")
	o.trust(theirs)
	o.run(1, "foreign", "licence show --json -c %/m.toml")
}

// payloadOf is the value of the key "payload".
func payloadOf(text string) string {
	_, rest, _ := strings.Cut(text, `"payload": "`)
	payload, _, _ := strings.Cut(rest, `"`)
	return payload
}

func TestIssueRefuses(t *testing.T) {
	o := newOffice(t)
	o.run(0, "", "licence issue --new-key %/k.pem")
	const sign = "licence issue --key %/k.pem --licensee Example --serial 1 "
	for _, bad := range []struct{ flags, want string }{
		{"--month 5", `"" is no date`},
		{"--month 5 --until tomorrow", `"tomorrow" is no date`},
		{"--until 2099-01-01", "allows nothing"},
		{"--until 2099-01-01 --month 5 --from 2099-02-01", "expires before it begins"},
		{"--until 2099-01-01 --tenant acme", "write it like acme:day=5000"},
		{"--until 2099-01-01 --tenant acme:year=5", "write it like acme:day=5000"},
		{"--until 2099-01-01 --month -5", "invalid"},
	} {
		o.run(exitUsage, bad.want, sign+bad.flags)
	}
	o.run(exitUsage, "name the file of a key", "licence issue --until 2099-01-01")
	os.Chmod(o.path("k.pem"), 0o644)
	o.run(1, "chmod o=", sign+"--month 5 --until 2099-01-01")
}

// TestLicenceServer: the command serves until it is told to end, and nobody beyond loopback in clear.
func TestLicenceServer(t *testing.T) {
	o := newOffice(t)
	public := o.run(0, "", "licence issue --new-key %/k.pem")
	os.WriteFile(o.path("tokens"), []byte("mta1 0123456789abcdef0123456789abcdef\n"), 0o600)
	os.WriteFile(o.path("token"), []byte("0123456789abcdef0123456789abcdef\n"), 0o600)
	const serve = "licence serve --key %/k.pem --tokens %/tokens --state %/pool.json --licensee Example "
	o.run(exitUsage, "would go in clear", serve+"--total 10 --slice 5 --listen :0")
	o.run(exitUsage, "belong together", serve+"--total 10 --slice 5 --listen :0 --tls-key %/k.pem")
	o.run(exitUsage, "belong together", serve+"--total 10 --slice 5 --tls-cert %/l.crt")
	o.run(exitUsage, "slice: 50", serve+"--total 10 --slice 50")
	o.run(exitUsage, "--key is missing", "licence serve --total 10")

	f := serverFlags{
		listen: "127.0.0.1:0", key: o.path("k.pem"), tokens: o.path("tokens"), state: o.path("pool.json"),
		offer: licence.Offer{Licensee: "Example", Total: 1000, Slice: 100, For: 1 << 50},
	}
	ctx, cancel := context.WithCancel(t.Context())
	at, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- f.serve(ctx, hclog.NewNullLogger(), func(a net.Addr) { at <- a }) }() // ends with ctx
	cfg := licence.DefaultConfig()
	cfg.Keys = []string{strings.TrimSpace(public)}
	cfg.Server.URL, cfg.Server.TokenFile = "http://"+(<-at).String(), o.path("token")
	m := askServer(t, cfg)
	if s := m.Status(); s.Slice == nil || s.Slice.Ceiling != 100 || s.ServerError != "" {
		t.Errorf("%+v", s)
	}
	o.run(1, "another licence server uses it", serve+"--total 10 --slice 5 --listen 127.0.0.1:0")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// nothingSent is a counter of an installation that has sent nothing.
type nothingSent struct{}

func (nothingSent) Used(string) (sent, left uint64) { return 0, 0 }

// askServer has a new installation ask once.
func askServer(t *testing.T, cfg licence.Config) *licence.Meter {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m, err := licence.NewMeter(licence.Deps{Counter: nothingSent{}, Store: func([]byte) error { return nil }, Say: func(text string, _ error) { cancel() }}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(cfg, nil); err != nil {
		t.Fatal(err)
	}
	m.Begin()
	go func() {
		for ctx.Err() == nil && m.Status().ServerAt.IsZero() {
			runtime.Gosched()
		}
		cancel()
	}()
	licence.NewClient(m, "test").Run(ctx) // ends when it was answered
	return m
}

func TestPrintAllowance(t *testing.T) {
	a := &console.Allowance{
		Installation: "abc", Limits: 9, Error: "disk full",
		Usage: []console.Usage{
			{Span: "month", By: "allowance", Used: 812_000, Left: 1200, Limit: 1_000_000, Resets: 1_700_000_000},
			{Span: "licence", By: "licence 17", Used: 5, Limit: 10},
			{Tenant: "acme", Span: "day", By: "allowance", Used: 50, Limit: 100, Resets: 1_700_000_000},
		},
		Licence: &console.Licence{Licensee: "Ex\x1bample", Serial: "17", Expires: 1_700_000_000, State: "expired, in grace", Until: 1_700_000_600},
		Server:  &console.LicenceServer{URL: "https://l.example", Error: "connection refused"},
	}
	want := strings.NewReplacer("DATE", clock(1_700_000_000), "END", clock(1_700_000_600)).Replace(`allowed  812,000 of 1,000,000 (month), 1,200 on their way, until DATE
allowed  5 of 10 (licence), by licence 17
allowed  tenant acme: 50 of 100 (day), until DATE
allowed  3 more limits; --json lists 100
licence  17 of Ex?ample is expired, in grace; it expires DATE, and is in force until END
licence  server https://l.example: no slice is held; connection refused
allowed  the count cannot be made durable, and the limits of before hold on: disk full
`)
	var b strings.Builder
	if printAllowance(&b, a); b.String() != want {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
	b.Reset()
	if printAllowance(&b, nil); b.String() != "" {
		t.Error(b.String())
	}
}
