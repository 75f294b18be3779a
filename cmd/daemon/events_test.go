package daemon

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/stream"
	"github.com/millrace/millrace/test/sink"
)

// eventRecord is what the tests read of a record.
type eventRecord struct {
	Position   uint64        `json:"position"`
	Type       string        `json:"type"`
	Rcpts      int64         `json:"rcpts"`
	Relay      string        `json:"relay"`
	Recipient  string        `json:"recipient"`
	Verb       string        `json:"verb"`
	Totals     stream.Totals `json:"totals"`
	Difference stream.Totals `json:"difference"`
}

// recordsOf are the records of a file.
func recordsOf(t *testing.T, path string) (all []eventRecord) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r eventRecord
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		all = append(all, r)
	}
	return all
}

// sumUp adds records as contrib/events.md says.
func sumUp(all []eventRecord) (sum stream.Totals) {
	for _, r := range all {
		switch r.Type {
		case "reception":
			sum.Messages, sum.Recipients = sum.Messages+1, sum.Recipients+r.Rcpts
		case "delivery":
			sum.Sent++
		case "handed_back":
			sum.HandedBack++
		case "reported":
			sum.Reported++
		case "deleted":
			sum.Removed++
		case "deferral":
			if r.Relay != "" {
				sum.Deferred++
			}
		case "recovery":
			d := r.Difference
			sum.Messages, sum.Recipients, sum.Sent, sum.HandedBack = sum.Messages+d.Messages, sum.Recipients+d.Recipients, sum.Sent+d.Sent, sum.HandedBack+d.HandedBack
			sum.Reported, sum.Removed, sum.Deferred = sum.Reported+d.Reported, sum.Removed+d.Removed, sum.Deferred+d.Deferred
		}
	}
	return sum
}

// eventWorld is a leverWorld with an event file.
func newEventWorld(t *testing.T, is sink.Character) *leverWorld {
	t.Helper()
	w := newLeverWorld(t, is)
	stop(t, w.Daemon)
	path := filepath.Join(w.dir, "millrace.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "[[events.file]]\npath = %q\n", filepath.Join(w.dir, "state", "events.json"))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.start(w.dir)
	return w
}

// TestEventsEqualTheJournal: the sum of the records is what the journal counts, over a restart and over kills, whatever became of the mail.
func TestEventsEqualTheJournal(t *testing.T) {
	w := newEventWorld(t, sink.Character{Faults: []sink.Fault{
		{Stage: sink.Rcpt, Do: sink.Reply451, Times: 5}, {Stage: sink.Rcpt, Do: sink.Reply550, Times: 3},
	}})
	check := func(when string) {
		t.Helper()
		if err := w.events.Flush(); err != nil {
			t.Fatal(err)
		}
		all := recordsOf(t, filepath.Join(w.dir, "state", "events.json"))
		if got, want := sumUp(all), w.journalTotals(); got != want {
			t.Errorf("%s: the records sum up to %+v, the journal has %+v", when, got, want)
		}
		for i, r := range all[1:] {
			if r.Position < all[i].Position {
				t.Errorf("%s: position %d behind %d", when, r.Position, all[i].Position)
			}
		}
	}
	w.send(30)
	waitUntil(t, "all but those who are deferred have left", func() bool { s := w.handler.Status(); return s.Deferred == 5 && s.Messages == 5 && !w.Reporting() })
	w.act(relay.Act{Verb: relay.VerbDelete, Selector: relay.Selector{ID: w.anyID()}})
	check("before the kill")
	w.kill()
	check("behind the kill")
	w.send(5)
	w.act(relay.Act{Verb: relay.VerbFlush})
	waitUntil(t, "all have left", func() bool { return w.handler.Status().Messages == 0 && !w.Reporting() })
	if err := w.events.Flush(); err != nil {
		t.Fatal(err)
	}
	w.kill()
	check("behind a second kill")
	stop(t, w.Daemon)
	w.start(w.dir)
	check("behind a stop")
	verbs := ""
	for _, r := range recordsOf(t, filepath.Join(w.dir, "state", "events.json")) {
		if r.Type == "act" {
			verbs += r.Verb + " "
		}
		if r.Type == "recovery" || r.Type == "gap" {
			t.Logf("%+v", r)
		}
	}
	if verbs != "delete flush " {
		t.Errorf("acts: %s", verbs)
	}
}

// anyID is the id of a message that waits.
func (w *leverWorld) anyID() string {
	for l := range w.handler.MessagesAfter(0) {
		return l.ID
	}
	return "none"
}

// TestEventsOverTheConsole: a daemon without [events] serves what happens from the moment on in which somebody asks.
func TestEventsOverTheConsole(t *testing.T) {
	d, socket, _ := start(t, sink.Character{})
	defer stop(t, d)
	c := console.NewClient(d.Config().Control.Socket)
	defer c.Close()
	for _, err := range c.Events(t.Context(), url.Values{"follow": {"false"}}) {
		t.Errorf("before the first message: %v", err)
	}
	mta := dial(t, socket)
	for i := range 3 {
		if v, err := mta.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	n := 0
	for text, err := range c.Events(t.Context(), url.Values{"follow": {"true"}, "since": {"0"}, "recipient": {"U1@x.test"}}) {
		var r eventRecord
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil || r.Recipient != "u1@x.test" {
			t.Fatalf("%s %v", text, err)
		}
		if n++; r.Type == "delivery" {
			break
		}
	}
	mta.Close() // else the stop waits for it
	if n != 2 {
		t.Errorf("%d records", n)
	}
	for _, err := range c.Events(t.Context(), url.Values{"kind": {"bonce"}}) {
		if err == nil {
			t.Error("an unknown kind was taken")
		}
	}
}

// TestEventFileRefused: a path that cannot be opened stops the start, by its name.
func TestEventFileRefused(t *testing.T) {
	cfg := config.DefaultConfig()
	cfg.StateDir, cfg.Hostname, cfg.Log.Mail = filepath.Join(t.TempDir(), "state"), "mail.example.org", "off"
	c := stream.FileConfig{Path: filepath.Join(t.TempDir(), "no", "events.json")}
	c.SetDefaults()
	cfg.Events.File = []stream.FileConfig{c}
	if d, err := New(cfg, hclog.NewNullLogger()); err == nil {
		t.Errorf("%v", d)
	}
}
