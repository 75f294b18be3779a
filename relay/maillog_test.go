package relay

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

var logTime = time.Date(2026, 11, 3, 17, 32, 53, 0, time.UTC)

// logMessage is one message for the mail log's tests.
func logMessage() *Message {
	return &Message{
		ID: 29790, Content: NewContent(Letter{Header: bytes.Repeat([]byte("x"), 18228)}),
		Slip: &Slip{
			QueueID: "4bXyZ1", Rule: "list-unsubscribe", Client: "app[2001:db8::5]",
			Envelope: Envelope{From: "b+123@n.example", Rcpts: []Rcpt{{Addr: "a@gmail.com"}, {Addr: "b@full.example"}}},
		},
	}
}

// logTenant is a message of a tenant.
func logTenant() *Message {
	m := logMessage()
	m.Slip.Flow = FlowName{Tenant: "gold,plus"}
	return m
}

// logNotice is a notification on its way to the MTA.
func logNotice() *Message {
	return &Message{ID: 29791, Slip: &Slip{Class: ClassInject, Envelope: Envelope{Rcpts: []Rcpt{{Addr: "b+123@n.example"}}}}, Content: NewContent(Letter{Header: make([]byte, 898)})}
}

func ok(lines ...string) smtp.Reply { return smtp.Reply{Code: 250, Enhanced: "2.0.0", Lines: lines} }

func TestMailLogLines(t *testing.T) {
	ms := time.Millisecond
	mx := "gmail-smtp-in.l.google.com[142.250.1.27]:25"
	delays := Delays{800 * ms, 200 * ms, 0, 400 * ms}
	tests := []struct {
		name string
		e    Event
		want []string // without "postfix/"
	}{
		{"taken", Event{Kind: EventTaken, Rcpt: -1}, []string{
			"milter[812]: 4bXyZ1: from=<b+123@n.example>, size=18230, nrcpt=2, rule=list-unsubscribe, client=app[2001:db8::5] (taken)",
			"qmgr[812]: 4bXyZ1: from=<b+123@n.example>, size=18230, nrcpt=2 (queue active)"}},
		{"taken for a tenant", Event{Kind: EventTaken, Rcpt: -1, Message: logTenant()}, []string{
			"milter[812]: 4bXyZ1: from=<b+123@n.example>, size=18230, nrcpt=2, rule=list-unsubscribe, client=app[2001:db8::5], tenant=gold?plus (taken)",
			"qmgr[812]: 4bXyZ1: from=<b+123@n.example>, size=18230, nrcpt=2 (queue active)"}},
		{"restored", Event{Kind: EventRestored, Rcpt: -1}, []string{
			"qmgr[812]: 4bXyZ1: from=<b+123@n.example>, size=18230, nrcpt=2 (queue active)"}},
		{"interrupted", Event{Kind: EventInterrupted, Rcpt: 1, MaybeTwice: true}, []string{
			"smtp[812]: warning: 4bXyZ1: to=<b@full.example> may be delivered twice (Millrace ended before the outcome was recorded)"}},
		{"unheard", Event{Kind: EventUnheard, Rcpt: 1, MaybeTwice: true}, []string{
			"smtp[812]: warning: 4bXyZ1: to=<b@full.example> may be delivered twice (Millrace ended before the MTA heard that it was taken)"}},
		{"heard", Event{Kind: EventHeard, Rcpt: -1}, nil},
		{"notification queued", Event{Kind: EventTaken, Rcpt: -1, Message: logNotice()}, []string{
			"qmgr[812]: 1000: from=<>, size=900, nrcpt=1 (queue active)"}},
		{"sent", Event{Kind: EventSettled, Outcome: Sent, Relay: mx, ConnUse: 37, Delays: delays, Reply: ok("OK 17 - gsmtp")}, []string{
			"smtp[812]: 4bXyZ1: to=<a@gmail.com>, relay=" + mx + ", conn_use=37, delay=1.4, delays=0.8/0.2/0/0.4, dsn=2.0.0, status=sent (250 2.0.0 OK 17 - gsmtp)"}},
		{"sent on a new connection", Event{Kind: EventSettled, Outcome: Sent, Relay: mx, ConnUse: 1, Reply: smtp.Reply{Code: 250, Lines: []string{"ok"}}}, []string{
			"smtp[812]: 4bXyZ1: to=<a@gmail.com>, relay=" + mx + ", delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 ok)"}},
		{"deferred", Event{Kind: EventSettled, Outcome: Deferred, Rcpt: 1, Relay: mx,
			Reply: smtp.Reply{Code: 450, Enhanced: "4.2.1", Lines: []string{"slow", "down"}}}, []string{
			"smtp[812]: 4bXyZ1: to=<b@full.example>, relay=" + mx + ", delay=0, delays=0/0/0/0, dsn=4.2.1, status=deferred (host gmail-smtp-in.l.google.com[142.250.1.27] said: 450 4.2.1 slow down)"}},
		{"no connection", Event{Kind: EventSettled, Outcome: Deferred,
			Reply: smtp.Reply{Lines: []string{"connect to mx.example[192.0.2.1]:25: Connection refused"}}}, []string{
			"smtp[812]: 4bXyZ1: to=<a@gmail.com>, relay=none, delay=0, delays=0/0/0/0, dsn=4.0.0, status=deferred (connect to mx.example[192.0.2.1]:25: Connection refused)"}},
		{"maybe twice", Event{Kind: EventSettled, Outcome: Deferred, Relay: mx, MaybeTwice: true,
			Reply: smtp.Reply{Enhanced: "4.4.2", Lines: []string{"lost connection"}}}, []string{
			"smtp[812]: 4bXyZ1: to=<a@gmail.com>, relay=" + mx + ", delay=0, delays=0/0/0/0, dsn=4.4.2, status=deferred (lost connection)",
			"smtp[812]: warning: 4bXyZ1: to=<a@gmail.com> may be delivered twice (no final reply to end of data)"}},
		{"bounced", Event{Kind: EventSettled, Outcome: Bounced, Relay: "none", Reply: smtp.Reply{Code: 556, Lines: []string{"null MX"}}}, []string{
			"smtp[812]: 4bXyZ1: to=<a@gmail.com>, relay=none, delay=0, delays=0/0/0/0, dsn=5.0.0, status=bounced (556 null MX)"}},
		{"expired", Event{Kind: EventSettled, Outcome: Expired, Relay: "none", Delays: Delays{Queue: 48 * time.Hour}}, []string{
			"smtp[812]: 4bXyZ1: to=<a@gmail.com>, relay=none, delay=172800, delays=0/172800/0/0, dsn=4.4.7, status=deferred (expired: no reply)",
			"qmgr[812]: 4bXyZ1: from=<b+123@n.example>, status=expired, returned to sender"}},
		{"handed back", Event{Kind: EventSettled, Outcome: HandedBack, Relay: "127.0.0.1[127.0.0.1]:10026", Reply: ok("Ok: queued as 4bXz99")}, []string{
			"smtp[812]: 4bXyZ1: to=<a@gmail.com>, relay=127.0.0.1[127.0.0.1]:10026, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (forwarded as 4bXz99, handed back to the MTA: 250 2.0.0 Ok: queued as 4bXz99)"}},
		{"deleted", Event{Kind: EventSettled, Outcome: Deleted, Relay: "none", Reply: smtp.Reply{Enhanced: "4.7.1", Lines: []string{"deleted by root: wrong list"}}}, []string{
			"smtp[812]: 4bXyZ1: to=<a@gmail.com>, relay=none, delay=0, delays=0/0/0/0, dsn=4.7.1, status=deferred (deleted by root: wrong list)"}},
		{"notification sent", Event{Kind: EventSettled, Outcome: Sent, Message: logNotice(), Relay: "127.0.0.1[127.0.0.1]:25", Reply: ok("hello")}, []string{
			"smtp[812]: 1000: to=<b+123@n.example>, relay=127.0.0.1[127.0.0.1]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (forwarded as other mail: 250 2.0.0 hello)"}},
		{"reported", Event{Kind: EventReported, Report: "1000"}, []string{"bounce[812]: 4bXyZ1: sender non-delivery notification: 1000"}},
		{"nobody to report to", Event{Kind: EventReported}, nil},
		{"whole node deferred", Event{Kind: EventDeferred, Rcpt: -1}, nil},
		{"removed", Event{Kind: EventRemoved, Rcpt: -1}, []string{"qmgr[812]: 4bXyZ1: removed"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			l := NewMailLog(MailLogConfig{Writer: &out, PID: 812})
			if tt.e.Message == nil {
				tt.e.Message = logMessage()
			}
			l.Event(&tt.e)
			l.Flush()
			var want strings.Builder
			for _, line := range tt.want {
				want.WriteString("postfix/" + line + "\n")
			}
			if out.String() != want.String() {
				t.Errorf("got\n%swant\n%s", out.String(), want.String())
			}
		})
	}
}

func TestMailLogPrefix(t *testing.T) {
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out, PID: 1, Prefix: true, Hostname: "mail", Name: "postfix/bulk"})
	for _, s := range []int{0, 0, 1} {
		l.Event(&Event{Kind: EventRemoved, Time: logTime.Add(time.Duration(s) * time.Second), Message: logMessage(), Rcpt: -1})
	}
	l.Flush()
	want := "Nov  3 17:32:53 mail postfix/bulk/qmgr[1]: 4bXyZ1: removed\n"
	want += want + strings.Replace(want, ":53", ":54", 1)
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// How a connection is encrypted stands in lines that tools know from Postfix; a receiver's words stay in their line.
func TestMailLogConnected(t *testing.T) {
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out, PID: 812})
	mx := "mx.example[192.0.2.1]:25"
	for _, c := range []Connection{
		{Relay: mx, Trust: "Verified", Suite: "TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits)"},
		{Relay: mx},
		{Relay: mx, Fault: "STARTTLS: 454 4.7.0 not\nnow"},
	} {
		l.Connected(c)
	}
	l.Flush()
	want := "postfix/smtp[812]: Verified TLS connection established to " + mx + ": TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits)\n" +
		"postfix/smtp[812]: warning: TLS given up at " + mx + ", whose mail goes in clear: STARTTLS: 454 4.7.0 not?now\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// One notification tells of many recipients; Postfix writes one line for it, and so do we.
func TestMailLogSaysOnce(t *testing.T) {
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out})
	m, other := logMessage(), logNotice()
	for i := range m.Rcpts {
		l.Event(&Event{Kind: EventReported, Message: m, Rcpt: i, Report: "r1"})
		l.Event(&Event{Kind: EventReported, Message: other, Report: "r2"})
		l.Event(&Event{Kind: EventSettled, Outcome: Expired, Message: m, Rcpt: i})
	}
	l.Flush()
	for part, want := range map[string]int{"r1": 1, "r2": 1, "returned to sender": 1, "status=deferred (expired: ": 2} {
		if got := strings.Count(out.String(), part); got != want {
			t.Errorf("%q stands there %d times, want %d:\n%s", part, got, want, &out)
		}
	}
}

func TestQueuedAs(t *testing.T) {
	for line, want := range map[string]string{
		"Ok: queued as 4bXz99":                         "4bXz99",
		"Ok: queued as 4bXz99 (really)":                "4bXz99",
		"4ANHWrjk031337 Message accepted for delivery": "4ANHWrjk031337",
		"OK id=1tEuLk-000000012Kl-0yz1":                "1tEuLk-000000012Kl-0yz1",
		"Message accepted for delivery without a name": "",
		"queued":                         "",
		" Message accepted for delivery": "",
	} {
		if got := queuedAs(ok(line)); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestAppendSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0", 0: "0", 4 * time.Millisecond: "0", 5 * time.Millisecond: "0.01",
		50 * time.Millisecond: "0.05", 120 * time.Millisecond: "0.12", 200 * time.Millisecond: "0.2",
		996 * time.Millisecond: "1", 1440 * time.Millisecond: "1.4", 9960 * time.Millisecond: "10",
		14600 * time.Millisecond: "15", 48 * time.Hour: "172800",
	} {
		if got := string(appendSeconds(nil, d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// A peer or a sender must not be able to write lines, or fields, of the mail log.
func FuzzMailLogInjection(f *testing.F) {
	f.Add("a@b>, relay=evil, status=sent (", "mx\n[1]:25", "x\r\nNov 3 00:00:00 h postfix/smtp[1]: y", "Q\x00 1", uint8(Bounced))
	f.Add("\xff\xfe\u2028\u202e\u0085", "none", "\x1b[2J", "", uint8(Expired))
	f.Add("a@b", "r", strings.Repeat("long", 5000), "Q", uint8(Deferred))
	line := regexp.MustCompile(`^p/smtp\[0\]: ([^: ]+): to=<([^>]*)>, relay=([^, ]+), delay=0, delays=0/0/0/0, dsn=([^, ]+), status=(sent|deferred|bounced) \((.*)\)$`)
	f.Fuzz(func(t *testing.T, addr, relay, text, id string, outcome uint8) {
		o := Outcome(outcome%4) + Sent
		m := &Message{ID: 5, Slip: &Slip{QueueID: id, Envelope: Envelope{From: addr, Rcpts: []Rcpt{{Addr: addr}}}, Rule: text, Client: relay}}
		var out bytes.Buffer
		l := NewMailLog(MailLogConfig{Writer: &out, Name: "p"})
		l.Event(&Event{Kind: EventSettled, Message: m, Outcome: o, Relay: relay, Reply: smtp.Reply{Code: 550, Enhanced: text, Lines: []string{text, addr}}})
		l.Event(&Event{Kind: EventTaken, Message: m, Rcpt: -1})
		l.Flush()
		if i := bytes.IndexFunc(out.Bytes(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x202e }); i >= 0 {
			t.Fatalf("byte %d is a control character: %q", i, out.Bytes())
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		want := 3
		if o == Expired {
			want = 4
		}
		if len(lines) != want || !line.MatchString(lines[0]) {
			t.Fatalf("%d lines, want %d, the first like %s:\n%s", len(lines), want, line, out.String())
		}
		for _, l := range lines {
			if len(l) > 4096 {
				t.Fatalf("a line of %d bytes", len(l))
			}
		}
	})
}

// brokenWriter fails while err is set, after it took part of what it was given.
type brokenWriter struct {
	bytes.Buffer
	err  error
	take int
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		n, _ := w.Buffer.Write(p[:min(w.take, len(p))])
		return n, w.err
	}
	return w.Buffer.Write(p)
}

// countingWriter counts lines, also while others look.
type countingWriter struct {
	lines, writes atomic.Int64
	err           atomic.Pointer[error] // of the next write
}

func (w *countingWriter) Write(p []byte) (int, error) {
	if err := w.err.Swap(nil); err != nil {
		return 0, *err
	}
	w.lines.Add(countLines(p))
	w.writes.Add(1)
	return len(p), nil
}

func TestMailLogFull(t *testing.T) {
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out, Buffer: 80})
	for range 5 { // 33 bytes each: two fit
		l.Event(&Event{Kind: EventRemoved, Message: logMessage(), Rcpt: -1})
	}
	l.Flush()
	line := "postfix/qmgr[0]: 4bXyZ1: removed\n"
	want := line + line + "postfix/maillog[0]: warning: suppressed 3 lines\n"
	if out.String() != want || l.Suppressed() != 3 {
		t.Errorf("suppressed %d, got\n%swant\n%s", l.Suppressed(), out.String(), want)
	}
	out.Reset()
	l.Event(&Event{Kind: EventRemoved, Message: logMessage(), Rcpt: -1})
	l.Flush()
	if out.String() != line {
		t.Errorf("afterwards: %q, want %q", out.String(), line)
	}
}

// What may be delivered twice is said in a full log too: before a visit that came back, and after a start.
func TestMailLogKeepsWarnings(t *testing.T) {
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out, Buffer: 80})
	removed := &Event{Kind: EventRemoved, Message: logMessage(), Rcpt: -1}
	interrupted := &Event{Kind: EventInterrupted, Message: logMessage(), Rcpt: 1, MaybeTwice: true}
	unknown := &Event{Kind: EventSettled, Outcome: Deferred, Message: logMessage(), MaybeTwice: true}
	for _, e := range []*Event{removed, removed, removed, interrupted, removed, interrupted, unknown, removed} {
		l.Event(e)
	}
	l.Flush()
	line := "postfix/qmgr[0]: 4bXyZ1: removed\n"
	warning := "postfix/smtp[0]: warning: 4bXyZ1: to=<b@full.example> may be delivered twice (Millrace ended before the outcome was recorded)\n"
	want := line + line + warning + warning +
		"postfix/smtp[0]: warning: 4bXyZ1: to=<a@gmail.com> may be delivered twice (no final reply to end of data)\n" +
		"postfix/maillog[0]: warning: suppressed 4 lines\n"
	if out.String() != want || l.Suppressed() != 4 {
		t.Errorf("suppressed %d, got\n%swant\n%s", l.Suppressed(), out.String(), want)
	}
}

func TestMailLogWriteError(t *testing.T) {
	line := "postfix/qmgr[0]: 4bXyZ1: removed\n"
	w := &brokenWriter{err: errors.New("no space left on device"), take: len(line) + 10}
	l := NewMailLog(MailLogConfig{Writer: w})
	log := func(n int) {
		for range n {
			l.Event(&Event{Kind: EventRemoved, Message: logMessage(), Rcpt: -1})
		}
	}
	log(3)
	if err := l.Flush(); !errors.Is(err, w.err) {
		t.Errorf("Flush = %v, want %v", err, w.err)
	}
	w.take = 0
	log(1)
	l.Flush()
	w.err = nil
	log(1)
	l.Flush()
	// Two lines the first time, the second of them torn, one the second time; a confession that was lost does not count.
	want := line + line[:10] + "\n" + line + "postfix/maillog[0]: warning: suppressed 3 lines\n"
	if w.String() != want || l.Suppressed() != 3 {
		t.Errorf("got\n%swant\n%s", w.String(), want)
	}
}

// TestMailLogFault: a fault of our own costs the lines about one event, which are counted, and not the log.
func TestMailLogFault(t *testing.T) {
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out, Name: "x"})
	l.Event(&Event{Kind: EventRemoved, Message: &Message{Slip: &Slip{}, ID: 1}, Rcpt: -1})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the fault is not told to the caller")
			}
		}()
		l.Event(&Event{Kind: EventSettled, Outcome: Sent}) // of no message
	}()
	l.Event(&Event{Kind: EventRemoved, Message: &Message{Slip: &Slip{}, ID: 3}, Rcpt: -1})
	l.Flush()
	want := "x/qmgr[0]: 1: removed\nx/qmgr[0]: 3: removed\nx/maillog[0]: warning: suppressed 1 lines\n"
	if got := out.String(); got != want || l.Suppressed() != 1 {
		t.Errorf("%q, want %q; %d suppressed", got, want, l.Suppressed())
	}
}

// TestMailLogRedirect: lines composed before go to the old writer as they are, later ones to the new writer in the new form.
func TestMailLogRedirect(t *testing.T) {
	var before, after bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &before, Hostname: "mx.example.org", Prefix: true, PID: 7})
	e := &Event{Kind: EventRemoved, Time: time.Now(), Message: &Message{Slip: &Slip{}, ID: 1}}
	l.Event(e)
	l.Redirect(&after, "mail", false)
	l.Event(e)
	l.Flush()
	l.Redirect(nil, "mail", false)
	l.Event(e)
	l.Flush()
	if got := before.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, " mx.example.org postfix/qmgr[7]: ") {
		t.Errorf("before: %q", got)
	}
	if got := after.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "mail/qmgr[7]: ") {
		t.Errorf("after: %q", got)
	}
}

func TestMailLogSetWriter(t *testing.T) {
	var before, after bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &before})
	e := &Event{Kind: EventRemoved, Message: logMessage(), Rcpt: -1}
	l.Event(e)
	l.SetWriter(&after)
	l.Event(e)
	l.Event(e)
	l.Flush()
	if b, a := strings.Count(before.String(), "\n"), strings.Count(after.String(), "\n"); b != 1 || a != 2 {
		t.Errorf("%d lines in the old file and %d in the new, want 1 and 2", b, a)
	}
}

func TestMailLogRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out countingWriter
		l := NewMailLog(MailLogConfig{Writer: &out, Buffer: 200})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Run(ctx) })
		log := func(n int) {
			for range n {
				l.Event(&Event{Kind: EventRemoved, Message: logMessage(), Rcpt: -1})
			}
		}
		written := func(want int64, when string) {
			t.Helper()
			synctest.Wait()
			if got := out.lines.Load(); got != want {
				t.Errorf("%s: %d lines are written, want %d", when, got, want)
			}
		}
		time.Sleep(time.Hour)
		log(1)
		written(0, "at once")
		time.Sleep(60 * time.Millisecond)
		log(1)
		written(0, "still within the interval of the first")
		time.Sleep(40 * time.Millisecond)
		written(2, "after the interval")
		l.Connected(Connection{Relay: "mx[192.0.2.1]:25", Trust: "Trusted", Suite: "x"})
		time.Sleep(100 * time.Millisecond)
		written(3, "a connection's line")
		log(4)
		written(7, "half full")
		log(1)
		stop()
		wg.Wait()
		written(8, "stopped")
		if n := out.writes.Load(); n != 4 {
			t.Errorf("%d writes for 8 lines and an hour of silence, want 4", n)
		}
	})
}

// A write that failed is told of as soon as another can work, also if nothing else happens.
func TestMailLogRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out countingWriter
		full := errors.New("no space left on device")
		out.err.Store(&full)
		l := NewMailLog(MailLogConfig{Writer: &out})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Run(ctx) })
		l.Event(&Event{Kind: EventRemoved, Message: logMessage(), Rcpt: -1})
		time.Sleep(logInterval + logRetry)
		synctest.Wait()
		if out.lines.Load() != 1 || l.Suppressed() != 1 {
			t.Errorf("%d lines are written, %d suppressed; want the line that says so, and 1", out.lines.Load(), l.Suppressed())
		}
		stop()
		wg.Wait()
	})
}

func TestMailLogConcurrent(t *testing.T) {
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out})
	ctx, stop := context.WithCancel(t.Context())
	var run, wg sync.WaitGroup
	run.Go(func() { l.Run(ctx) })
	for range 8 {
		wg.Go(func() {
			for range 500 {
				l.Event(&Event{Kind: EventRemoved, Time: logTime, Message: logMessage(), Rcpt: -1})
			}
		})
	}
	for range 20 {
		l.Flush()
	}
	wg.Wait()
	stop()
	run.Wait()
	if got := strings.Count(out.String(), "postfix/qmgr[0]: 4bXyZ1: removed\n"); got != 4000 {
		t.Errorf("%d whole lines, want 4000", got)
	}
}

func TestMailLogAllocations(t *testing.T) {
	l := NewMailLog(MailLogConfig{Prefix: true, Hostname: "h"})
	e := &Event{Kind: EventSettled, Outcome: Sent, Time: logTime, Message: logMessage(), Relay: "mx.example[192.0.2.1]:25", Reply: ok("OK")}
	l.Event(e)
	l.Flush()
	l.Event(e)
	l.Flush()
	if n := testing.AllocsPerRun(10, func() { l.Event(e) }); n > 1 { // the buffer still grows at first
		t.Errorf("%.1f allocations a line, want at most 1", n)
	}
}
