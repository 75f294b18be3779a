package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/test/sink"
)

// reloadable is a daemon on a file, and the client that has it reload.
type reloadable struct {
	*Daemon
	dir, path string
	far       *sink.Sink
	to        net.Addr
	milter    string
	client    *console.Client
}

func startReloadable(t *testing.T, is sink.Character) *reloadable {
	t.Helper()
	far, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	r := &reloadable{dir: t.TempDir(), far: far}
	r.path = filepath.Join(r.dir, "millrace.toml")
	if r.to, err = far.Listen("127.0.0.1:0", is); err != nil {
		t.Fatal(err)
	}
	cfg, socket := configured(t, r.dir, r.to, "")
	r.milter = socket
	if r.Daemon, err = New(cfg, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	r.client = console.NewClient(cfg.Control.Socket)
	t.Cleanup(r.client.Close)
	return r
}

// rewrite writes the file again, with more lines, and has it read.
func (r *reloadable) rewrite(t *testing.T, more string) console.Reloaded {
	t.Helper()
	configured(t, r.dir, r.to, more)
	got, err := r.client.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (r *reloadable) deliver(t *testing.T, i int) {
	t.Helper()
	c := dial(t, r.milter)
	if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
		t.Fatalf("%+v %v", v, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); r.far.Count() <= i || r.handler.Status().Messages > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d delivered: %+v", r.far.Count(), r.queues.Queues(0))
		}
	}
}

// TestReloadChangesTheParts: each table is in force when the answer comes, and a later reload takes it back.
func TestReloadChangesTheParts(t *testing.T) {
	r := startReloadable(t, sink.Character{Name: "first"})
	defer stop(t, r.Daemon)
	r.deliver(t, 0)
	other, err := r.far.Listen("127.0.0.1:0", sink.Character{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	first := r.to
	r.to = other
	log := filepath.Join(r.dir, "mail.log")
	got := r.rewrite(t, "[pool]\nmessages_per_connection = 7\n[queue]\nmax_messages = 12\nchannels = 3\n[dns]\nport = 2525\n[bounce]\nmax_header = 2000\n[log]\nname = 'mr'\n")
	if !got.Applied || len(got.Errors)+len(got.Restart) > 0 || len(got.Changed) != 7 || got.File != r.path {
		t.Errorf("%+v", got)
	}
	r.deliver(t, 1)
	if n := r.far.Counts("second").Messages; n != 1 {
		t.Errorf("%d messages by the new route", n)
	}
	text, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path, []byte(strings.Replace(string(text), "log.mail = 'off'", "log.mail = '"+log+"'", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := r.client.Reload(t.Context()); err != nil || len(got.Changed) != 1 || got.Changed[0].Key != "log.mail" {
		t.Errorf("%+v %v", got, err)
	}
	r.deliver(t, 2)
	r.to = first
	if got := r.rewrite(t, ""); len(got.Changed) != 8 {
		t.Errorf("back again: %+v", got)
	}
	if lines, err := os.ReadFile(log); err != nil || !strings.Contains(string(lines), " mr/qmgr[") || !strings.Contains(string(lines), "status=sent") {
		t.Errorf("mail log: %q %v", lines, err)
	}
	r.deliver(t, 3)
	if n := r.far.Counts("first").Messages; n != 2 {
		t.Errorf("%d messages by the old route", n)
	}
}

// TestReloadChangesTheRulesAboutSites: a reload closes a site by its quiet hours, and another opens it at once.
func TestReloadChangesTheRulesAboutSites(t *testing.T) {
	r := startReloadable(t, sink.Character{})
	defer stop(t, r.Daemon)
	r.deliver(t, 0)
	hour := func(d time.Duration) string { return time.Now().Add(d * time.Hour).Format("15:04") }
	got := r.rewrite(t, "[[site]]\nname = 'night'\nmx = ['127.0.0.1']\nquiet = ['"+hour(-2)+"-"+hour(2)+"']\n")
	if !got.Applied || len(got.Changed) != 1 || got.Changed[0].Key != "site" {
		t.Errorf("%+v", got)
	}
	c := dial(t, r.milter)
	if v, err := c.Send(newsletter(1)); err != nil || !v.Taken() {
		t.Fatalf("%+v %v", v, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wait := func(what string, met func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !met(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d delivered, queues %+v", what, r.far.Count(), r.queues.Queues(0))
			}
		}
	}
	wait("not quiet", func() bool {
		all := r.queues.Queues(0)
		return len(all) == 1 && strings.Contains(all[0].Reason, "quiet hours by [[site]] night")
	})
	if n := r.far.Count(); n != 1 {
		t.Errorf("%d messages went out in quiet hours", n)
	}
	r.rewrite(t, "")
	wait("still quiet", func() bool { return r.far.Count() == 2 })
}

// TestReloadRefuses: a file with mistakes changes nothing, nor does one whose mail log cannot be opened.
func TestReloadRefuses(t *testing.T) {
	r := startReloadable(t, sink.Character{})
	defer stop(t, r.Daemon)
	before := r.Config()
	for more, want := range map[string]console.Mistake{
		"[pool]\nidel = '1m'\n":                      {File: r.path, Line: 9, Key: "pool.idel"},
		"[pool]\nslice = 0\n[queue]\nchannels = 3\n": {File: r.path, Line: 9, Key: "pool.slice"},
	} {
		if os.WriteFile(r.path, nil, 0o600) != nil {
			t.Fatal("cannot write")
		}
		text := "hostname = 'mail.example.org'\nstate_dir = '" + before.StateDir + "'\nmode = 'deliver'\nmilter.listen = ['unix:" + r.milter + "']\ncontrol.socket = '" + before.Control.Socket + "'\nlog.mail = 'off'\n\n" + more
		if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := r.client.Reload(t.Context())
		if err != nil || got.Applied || len(got.Errors) != 1 || got.Errors[0].Text == "" {
			t.Fatalf("%+v %v", got, err)
		}
		got.Errors[0].Text, got.Errors[0].Column = "", 0
		if got.Errors[0] != want {
			t.Errorf("%+v, want %+v", got.Errors[0], want)
		}
	}
	text, _ := os.ReadFile(r.path)
	bad := strings.Replace(strings.Replace(string(text), "slice = 0", "slice = 5", 1), "idel", "idle", 1)
	if err := os.WriteFile(r.path, []byte(strings.Replace(bad, "log.mail = 'off'", "log.mail = '/nowhere/at/all'", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := r.client.Reload(t.Context()); err != nil || got.Applied || !strings.Contains(got.Errors[0].Text, "/nowhere/at/all") {
		t.Errorf("%+v %v", got, err)
	}
	if r.Config() != before {
		t.Error("the configuration has changed")
	}
	r.deliver(t, 0)
}

// TestReloadsMeetTheStop: reloads from several commands at once, while mail flows and the daemon stops. Each is answered or told
// to come again, and nothing is lost.
func TestReloadsMeetTheStop(t *testing.T) {
	r := startReloadable(t, sink.Character{})
	files := []string{"[pool]\nconnections_per_site = 1\n[queue]\nchannels = 1\norder = 'longest'\n", "[dns]\nparallel = 4\n[pool]\nslice = 1\n"}
	for i := range 20 {
		r.deliver(t, i)
		r.rewrite(t, files[i%2])
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { // ends with ctx, or with the daemon
			for ctx.Err() == nil {
				if _, err := r.client.Reload(ctx); errors.Is(err, console.ErrUnreachable) {
					return
				}
			}
		})
	}
	stop(t, r.Daemon)
	cancel()
	wg.Wait()
	if r.far.Count() != 20 {
		t.Errorf("%d delivered", r.far.Count())
	}
}

// TestReloadWarnsOfAShorterLifetime: the answer says how many messages it makes overdue and at which rate they are returned.
func TestReloadWarnsOfAShorterLifetime(t *testing.T) {
	r := startReloadable(t, sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451}}})
	defer stop(t, r.Daemon)
	c := dial(t, r.milter)
	for i := range 3 {
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	c.Close()
	time.Sleep(20 * time.Millisecond)
	got := r.rewrite(t, "[retry]\nlifetime = '10ms'\n")
	said := ""
	for _, w := range got.Warnings {
		if w.Key == "retry.lifetime" {
			said += w.Text
		}
	}
	if !strings.Contains(said, "3 messages that wait are older") || !strings.Contains(said, "at most 100 of them a minute") {
		t.Errorf("warnings %+v", got.Warnings)
	}
}
