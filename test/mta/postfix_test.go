package mta

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/sink"
)

const arrivalTime = time.Minute

// farEnd is a sink with a listener for all remote domains and one, which speaks LMTP, for local domains.
func farEnd(t *testing.T) (s *sink.Sink, remote, local string) {
	t.Helper()
	s, err := sink.New(sink.Config{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w, err := s.Listen("127.0.0.1:0", sink.Character{Name: "remote.test"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("127.0.0.1:0", sink.Character{Name: "local.test", LMTP: true})
	if err != nil {
		t.Fatal(err)
	}
	return s, w.String(), l.String()
}

func startPostfix(t *testing.T, c PostfixConfig) *Postfix {
	t.Helper()
	Require(t, PostfixPart)
	p, err := StartPostfix(t.TempDir(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop()
		if log, err := p.Log(); t.Failed() && err == nil {
			t.Logf("mail log:\n%s", log[max(0, len(log)-5000):])
		}
	})
	return p
}

// send runs a campaign. Every message must be acknowledged and arrive unchanged.
func send(t *testing.T, far *sink.Sink, c load.Config) load.Report {
	t.Helper()
	report, err := load.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if report.Acked() != c.Messages {
		t.Fatalf("%d of %d acknowledged; %+v", report.Acked(), c.Messages, firstRefused(report))
	}
	ctx, cancel := context.WithTimeout(t.Context(), arrivalTime)
	defer cancel()
	if err := far.Wait(ctx, report.Recipients()); err != nil {
		t.Error(err)
	}
	if err := load.Compare(report.Records, far.All()).Err(); err != nil {
		t.Error(err)
	}
	return report
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(arrivalTime); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not after %v: %s", arrivalTime, what)
		}
	}
}

func firstRefused(r load.Report) load.Record {
	for _, rec := range r.Records {
		if !rec.Acked {
			return rec
		}
	}
	return load.Record{}
}

func TestPostfixDelivers(t *testing.T) {
	far, remote, local := farEnd(t)
	p := startPostfix(t, PostfixConfig{
		Relay:     remote,
		Local:     map[string]string{"local.test": local},
		Listeners: map[string][]string{"second": {"smtpd_milters="}},
	})
	send(t, far, load.Config{
		Addr: p.Addr, Messages: 200, Rcpts: 2, MinSize: 3000, MaxSize: 60_000, Plain: 0.3, Pipelining: true, Seed: 1,
		Domains: []string{"a.test", "b.test", "local.test"},
	})
	for d := range far.All() {
		if toLocal := strings.HasSuffix(d.Rcpt, "@local.test"); toLocal != (d.Listener == "local.test") {
			t.Fatalf("%s arrived at %s", d.Rcpt, d.Listener)
		}
	}
}

// restartable is a server whose queue outlives it.
type restartable interface {
	Start() error
	Flush() error
}

// queueSurvives has the server at addr queue mail for a host that is away, ends the server, and starts it again when
// the host is back. Every message must arrive once.
func queueSurvives(t *testing.T, s restartable, addr, away string, end func() error) {
	t.Helper()
	report, err := load.Run(t.Context(), load.Config{Addr: addr, Messages: 20, MinSize: 2000, Conns: 2})
	if err != nil || report.Acked() != 20 {
		t.Fatalf("%d acknowledged, %v", report.Acked(), err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	far, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if _, err := far.Listen(away, sink.Character{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is delivered", func() bool { return s.Flush() == nil && far.Count() >= 20 })
	if err := load.Compare(report.Records, far.All()).Err(); err != nil {
		t.Error(err)
	}
}

// awayAddr is the address of a host that does not listen yet.
func awayAddr(t *testing.T) string {
	t.Helper()
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestPostfixQueueSurvives(t *testing.T) {
	for name, end := range map[string]func(*Postfix) error{"stop": (*Postfix).Stop, "kill": (*Postfix).Kill} {
		t.Run(name, func(t *testing.T) {
			away := awayAddr(t)
			p := startPostfix(t, PostfixConfig{Relay: away})
			queueSurvives(t, p, p.Addr, away, func() error { return end(p) })
		})
	}
}

func TestPostfixQueueAndReload(t *testing.T) {
	away := awayAddr(t)
	p := startPostfix(t, PostfixConfig{
		Relay:     away,
		Main:      map[string]string{"myhostname": "name.test"},
		Listeners: map[string][]string{"held": {"smtpd_sender_restrictions=static:hold"}},
		Master:    []string{"spare unix - - n - - smtp\n    -o smtp_helo_name=spare.test\n"},
	})
	report, err := load.Run(t.Context(), load.Config{Addr: p.Listener("held"), Messages: 1, MinSize: 2000})
	if err != nil || report.Acked() != 1 {
		t.Fatalf("%+v, %v", report.Records, err)
	}
	queue, err := p.Queue()
	if err != nil || len(queue) != 1 || queue[0].Queue != "hold" || queue[0].Sender != "news@sender.test" ||
		len(queue[0].Recipients) != 1 || queue[0].Recipients[0].Address != "user0@d0.test" {
		t.Errorf("queue %+v, %v", queue, err)
	}
	if got, err := p.Postconf("-h", "myhostname"); err != nil || got != "name.test\n" {
		t.Errorf("myhostname %q, %v", got, err)
	}
	if got, err := p.Postconf("-P", "spare/unix/smtp_helo_name"); err != nil || !strings.Contains(got, "spare.test") {
		t.Errorf("the further service: %q, %v", got, err)
	}
	if err := p.Reload(); err != nil {
		t.Error(err)
	}
	if p.Listener("none") != "" {
		t.Error("there is a listener nobody asked for")
	}
}

func TestPostfixThatCannotStart(t *testing.T) {
	Require(t, PostfixPart)
	_, err := StartPostfix(t.TempDir(), PostfixConfig{Main: map[string]string{"inet_interfaces": "192.0.2.1"}})
	if err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestParseQueue(t *testing.T) {
	const text = `{"queue_name": "deferred", "queue_id": "A1", "message_size": 7, "sender": "", "recipients": [{"address": "a@b", "delay_reason": "why"}]}
postqueue: warning: Mail system is down
`
	queue, err := parseQueue(text)
	if err != nil || len(queue) != 1 || queue[0].ID != "A1" || queue[0].Size != 7 || queue[0].Recipients[0].Reason != "why" {
		t.Errorf("%+v, %v", queue, err)
	}
	if _, err := parseQueue("{broken\n"); err == nil {
		t.Error("a broken line was let pass")
	}
}
