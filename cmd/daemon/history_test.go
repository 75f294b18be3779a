package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// traced asks until the message is in that state.
func traced(t *testing.T, d *Daemon, q console.TraceQuery, state string) console.Trace {
	t.Helper()
	q.Most = 5
	var r console.TraceReport
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var err error
		if r, err = d.Overview().Trace(q); err != nil {
			t.Fatal(err)
		}
		if len(r.Messages) == 1 && r.Messages[0].State == state {
			return r.Messages[0]
		}
	}
	t.Fatalf("%+v: %+v, want it %s", q, r, state)
	return console.Trace{}
}

// told is what happened to a message, in short.
func told(m *console.Trace) string {
	var all []string
	for _, e := range m.Events {
		all = append(all, strings.TrimSpace(e.Event+" "+e.Recipient))
	}
	return strings.Join(all, ", ")
}

// TestTrace: a message is found by each of its names while it waits, after it has left, and after a restart; with it what became of each
// recipient.
func TestTrace(t *testing.T) {
	far, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	addr, err := far.Listen("127.0.0.1:0", sink.Character{
		Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 1}},
		Refuse: func(rcpt string) bool { return strings.HasPrefix(rcpt, "no") },
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, socket := configured(t, t.TempDir(), addr, "retry.schedule = ['300ms']\nretry.jitter = 0.0\n")
	d, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, socket)
	m := newsletter(1)
	m.Header = append(m.Header, standin.Field{Name: "Message-Id", Value: "\n <one@sender.test>"})
	if v, err := c.Send(m); err != nil || !v.Taken() {
		t.Fatalf("%+v %v", v, err)
	}
	names := []console.TraceQuery{{Recipient: "U1@X.test"}, {ID: "4D1"}, {MessageID: "<one@sender.test>"}}
	waiting := traced(t, d, names[1], console.TraceWaiting)
	if len(waiting.Waiting) != 1 || waiting.Waiting[0].Address != "u1@x.test" {
		t.Errorf("%+v", waiting)
	}
	for _, q := range append(names, console.TraceQuery{ID: waiting.ID}) {
		got := traced(t, d, q, console.TraceDone)
		if told(&got) != "taken, deferred u1@x.test, sent u1@x.test" || got.MessageID != "one@sender.test" || got.QueueID != "4D1" || got.Sender != "n@sender.test" ||
			!strings.HasPrefix(got.Events[1].Reply, "451 ") || got.Events[2].Code != 250 || got.Events[2].Relay == "" || got.Rule == "" || got.Client == "" {
			t.Errorf("%+v: %s: %+v", q, told(&got), got)
		}
	}
	bad := newsletter(2)
	bad.Rcpts = standin.To("no@x.test", "u2@x.test")
	if v, err := c.Send(bad); err != nil || !v.Taken() {
		t.Fatalf("%+v %v", v, err)
	}
	if got := traced(t, d, console.TraceQuery{Recipient: "u2@x.test"}, console.TraceDone); told(&got) != "taken, sent u2@x.test" {
		t.Error(told(&got))
	}
	if got := traced(t, d, console.TraceQuery{Recipient: "no@x.test"}, console.TraceReporting); told(&got) != "taken, bounced no@x.test" {
		t.Error(told(&got))
	}
	if err := c.Close(); err != nil { // else the door gives it the whole of its grace
		t.Fatal(err)
	}
	stop(t, d)

	again, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	for _, q := range names {
		if got := traced(t, again, q, console.TraceDone); told(&got) != "taken, deferred u1@x.test, sent u1@x.test" {
			t.Error(told(&got))
		}
	}
	// The notification, made at the stop, is itself a message. It waits: there is no MTA here.
	got := traced(t, again, console.TraceQuery{Recipient: "no@x.test"}, console.TraceDone)
	if told(&got) != "taken, bounced no@x.test, reported no@x.test" {
		t.Fatal(told(&got))
	}
	if report := traced(t, again, console.TraceQuery{ID: got.Events[2].Report}, console.TraceWaiting); !report.Notice || report.Recipients != 1 {
		t.Errorf("%+v", report)
	}
	if h := again.Overview().Status().History; h == nil || h.Segments != 1 || h.Missed != 0 || h.Since == 0 {
		t.Errorf("%+v", h)
	}
	turnOff(t, again, cfg)
	stop(t, again)
}

// turnOff reloads with keep = "off".
func turnOff(t *testing.T, d *Daemon, cfg *config.Config) {
	t.Helper()
	next := *cfg
	next.History.Keep = 0
	if err := d.Reload(&next); err != nil {
		t.Fatal(err)
	}
	r, err := d.Overview().Trace(console.TraceQuery{ID: "4D1", Most: 1})
	if err != nil || !r.Off || len(r.Messages) != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if h := d.Overview().Status().History; h != nil {
		t.Errorf("%+v", h)
	}
}
