package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// leverWorld is a daemon whose receivers and whose own MTA are a sink.
type leverWorld struct {
	*Daemon
	t    *testing.T
	far  *sink.Sink
	dir  string
	sent int
}

func newLeverWorld(t *testing.T, is sink.Character) *leverWorld {
	t.Helper()
	far, err := sink.New(sink.Config{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	w := &leverWorld{t: t, far: far, dir: t.TempDir()}
	is.Name = "far"
	to, err := far.Listen("127.0.0.1:0", is)
	if err != nil {
		t.Fatal(err)
	}
	mta, err := far.Listen("127.0.0.1:0", sink.Character{Name: "mta"})
	if err != nil {
		t.Fatal(err)
	}
	configured(t, w.dir, to, fmt.Sprintf("[bounce]\ninject = '[127.0.0.1]:%d'\n", netip.MustParseAddrPort(mta.String()).Port()))
	w.start(w.dir)
	return w
}

// start starts a daemon on the configuration and the state in dir.
func (w *leverWorld) start(dir string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "millrace.toml"))
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(dir, "millrace.toml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), w.dir, dir)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.Daemon, err = New(cfg, hclog.NewNullLogger()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.dir = dir
}

// kill goes on with what a kill -9 leaves: the files as they are now.
func (w *leverWorld) kill() {
	w.t.Helper()
	dir := w.t.TempDir()
	if err := w.agent.Flush(); err != nil {
		w.t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "state"), os.DirFS(filepath.Join(w.dir, "state"))); err != nil {
		w.t.Fatal(err)
	}
	stop(w.t, w.Daemon)
	w.start(dir)
}

func (w *leverWorld) send(n int) {
	w.t.Helper()
	c := dial(w.t, filepath.Join(w.dir, "m.sock"))
	defer c.Close()
	for range n {
		if v, err := c.Send(newsletter(w.sent)); err != nil || !v.Taken() {
			w.t.Fatalf("%+v %v", v, err)
		}
		w.sent++
	}
}

func (w *leverWorld) act(a relay.Act) relay.ActReport {
	w.t.Helper()
	rep, err := w.Lever().Do(w.t.Context(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	return rep
}

// TestActsOutlastAKill: a hold, a pause and a drain are in force at once when the daemon was killed behind them; what was deleted does
// not come back; and each message is at the receiver or at our MTA once.
func TestActsOutlastAKill(t *testing.T) {
	greylist := sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 3}}}
	w := newLeverWorld(t, greylist)
	w.send(3)
	waitUntil(t, "they are deferred", func() bool { return w.handler.Status().Deferred == 3 })
	if rep := w.act(relay.Act{Verb: relay.VerbHold, Selector: relay.Selector{ID: "4D0"}}); rep.Messages != 1 {
		t.Errorf("held: %+v", rep)
	}
	if rep := w.act(relay.Act{Verb: relay.VerbDelete, Selector: relay.Selector{ID: "4D1"}}); rep.Messages != 1 {
		t.Errorf("deleted: %+v", rep)
	}
	w.act(relay.Act{Verb: relay.VerbPause, Selector: relay.Selector{Sender: "@sender.test"}})
	w.send(2)
	waitUntil(t, "they wait for the end of the pause", func() bool { return w.handler.Status().Held == 3 })
	w.kill()
	if s := w.handler.Status(); s.Restored != 4 || s.Held != 3 || s.Deferred != 1 {
		t.Errorf("after the kill: %+v", s)
	}
	w.act(relay.Act{Verb: relay.VerbResume})
	waitUntil(t, "what was paused is sent", func() bool { return w.far.Counts("far").Deliveries == 2 })
	w.act(relay.Act{Verb: relay.VerbFlush})
	waitUntil(t, "what was deferred is sent, and the daemon knows", func() bool {
		return w.far.Counts("far").Deliveries == 3 && w.handler.Status().Messages == 1
	})
	w.act(relay.Act{Verb: relay.VerbDrain, Until: time.Now().Add(time.Minute)}) // the journal has what was sent before
	w.kill()
	if _, drains := w.Lever().Draining(); !drains {
		t.Error("the drain ended with the kill")
	}
	if rep := w.act(relay.Act{Verb: relay.VerbDrain, Until: time.Now()}); rep.Waiting != 1 {
		t.Errorf("before the end of the drain: %+v", rep)
	}
	waitUntil(t, "what is held goes back to our MTA", func() bool { return w.Lever().DrainReport().Done })
	w.act(relay.Act{Verb: relay.VerbUndrain})
	w.send(1)
	waitUntil(t, "mail is taken again", func() bool { return w.far.Counts("far").Deliveries == 4 })
	for i := range w.sent {
		if n, want := len(w.far.ByID(fmt.Sprint(i))), map[bool]int{true: 0, false: 1}[i == 1]; n != want {
			t.Errorf("message %d arrived %d times, want %d", i, n, want)
		}
	}
	if n := w.far.Counts("mta").Deliveries; n != 1 {
		t.Errorf("our MTA got %d", n)
	}
	stop(t, w.Daemon)
}

// TestBouncedByAdmin: the sender reads the admin's words, in the notification that our MTA gets.
func TestBouncedByAdmin(t *testing.T) {
	w := newLeverWorld(t, sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 1 << 20}}})
	defer func() { stop(t, w.Daemon) }()
	w.send(1)
	waitUntil(t, "it is deferred", func() bool { return w.handler.Status().Deferred == 1 })
	w.act(relay.Act{Verb: relay.VerbBounce, Selector: relay.Selector{Domain: "X.test"}, Reason: "wrong price list"})
	waitUntil(t, "our MTA has the notification", func() bool { return w.far.Counts("mta").Deliveries == 1 })
	waitUntil(t, "nothing is left", func() bool { return w.handler.Status().Messages == 0 })
	body := string(w.far.Deliveries()[0].Raw)
	for _, want := range []string{"delivery cancelled by the administrator: wrong price list", "Status: 5.7.1", "Action: failed"} {
		if !strings.Contains(body, want) {
			t.Errorf("the notification lacks %q:\n%s", want, body)
		}
	}
}
