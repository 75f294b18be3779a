package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// TestHandedBackMailStaysThereUnderANewName: mail that was handed back stays with the MTA although the host has another name
// since, and the same mail without our mark is taken.
func TestHandedBackMailStaysThereUnderANewName(t *testing.T) {
	far, err := sink.New(sink.Config{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	dead, err := far.Listen("127.0.0.1:0", sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451}}})
	if err != nil {
		t.Fatal(err)
	}
	mta, err := far.Listen("127.0.0.1:0", sink.Character{Name: "mta"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg, socket := configured(t, dir, dead, "[handback]\nvisits = 1\n[bounce]\ninject = '[127.0.0.1]"+strings.TrimPrefix(mta.String(), "127.0.0.1")+"'\n")
	offer := func(hostname string, m *standin.Message) bool {
		t.Helper()
		cfg.Hostname = hostname
		d, err := New(cfg, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		c := dial(t, socket)
		v, err := c.Send(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); d.handler.Status().Messages > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not handed back: %+v", d.handler.Status())
			}
		}
		stop(t, d)
		return v.Taken()
	}
	if !offer("old.example.org", newsletter(1)) || far.Counts("mta").Messages != 1 {
		t.Fatal("not taken and handed back")
	}
	back := newsletter(1)
	trace, _, _ := strings.Cut(strings.TrimPrefix(string(far.Deliveries()[0].Raw), "Received:"), "\r\nX-Ledger:")
	back.Header = append([]standin.Field{{Name: "Received", Value: strings.ReplaceAll(trace, "\r\n", "\n")}}, back.Header...)
	for _, hostname := range []string{"old.example.org", "new.example.org"} {
		if offer(hostname, back) {
			t.Errorf("under the name %s what was handed back is taken again: %q", hostname, trace)
		}
	}
	if !offer("new.example.org", newsletter(2)) {
		t.Error("other mail is not taken")
	}
}
