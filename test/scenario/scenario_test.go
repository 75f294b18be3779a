package scenario

import (
	"bytes"
	"context"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/sink"
)

// full runs every scenario at the size that README names, instead of a size that suits a test run.
var full = flag.Bool("full", false, "run the scenarios at full size")

// binary is the daemon under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if binary = os.Getenv(inNamespace); binary != "" {
		os.Exit(m.Run())
	}
	os.Exit(daemon.WithBinary(&binary, m.Run, "-race"))
}

// size chooses the number of messages.
func size(short, long int) int {
	if *full {
		return long
	}
	return short
}

// beside starts a scene with a Postfix and a Millrace.
func beside(t *testing.T, o Options) *Scene {
	t.Helper()
	mta.Require(t, mta.PostfixPart)
	if o.Sign != "" {
		mta.Require(t, mta.OpendkimPart)
	}
	s := newScene(t, o)
	if err := s.StartPostfix(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// newSite starts everything but the MTA.
func newScene(t *testing.T, o Options) *Scene {
	t.Helper()
	s, err := New(t.TempDir(), binary, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			logs(t, s)
		}
	})
	if s.Millrace != nil {
		if err := s.StartMillrace(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func logs(t *testing.T, s *Scene) {
	tail := func(text string) string { return text[max(0, len(text)-4000):] }
	if s.Millrace != nil {
		t.Logf("millrace:\n%s\nmail log:\n%s", s.Millrace.LogTail(), tail(s.Millrace.MailLog()))
	}
	if s.Postfix != nil {
		if log, err := s.Postfix.Log(); err == nil {
			t.Logf("postfix:\n%s", tail(log))
		}
	}
}

// send runs a campaign. Every message must be acknowledged.
func send(t *testing.T, s *Scene, c load.Config) load.Report {
	t.Helper()
	c.Addr = s.Addr()
	report, err := load.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if report.Acked() != c.Messages {
		for _, r := range report.Records {
			if !r.Acked {
				t.Fatalf("%d of %d acknowledged; for instance %s: %s", report.Acked(), c.Messages, r.ID, r.Reply)
			}
		}
	}
	return report
}

// arrived waits for a campaign and compares it with the sink's deliveries.
func arrived(t *testing.T, s *Scene, r load.Report) {
	t.Helper()
	if err := s.Wait(t.Context(), r.Recipients(), 3*time.Minute); err != nil {
		t.Error(err)
	}
	if err := load.Compare(r.Records, s.Sink.All()).Err(); err != nil {
		t.Error(err)
	}
}

// rightSide checks that Millrace delivered the bulk and the MTA the rest.
func rightSide(t *testing.T, s *Scene, r load.Report) {
	t.Helper()
	bulk := make(map[string]bool, len(r.Records))
	for _, rec := range r.Records {
		bulk[rec.ID] = rec.Bulk
	}
	wrong, n := 0, 0
	for d := range s.Sink.All() {
		n++
		if (d.Listener == "bulk") != bulk[d.ID] {
			wrong++
		}
	}
	if wrong > 0 || n == 0 {
		t.Errorf("%d of %d deliveries came from the wrong side", wrong, n)
	}
}

func verifySignatures(t *testing.T, s *Scene) {
	t.Helper()
	n := 0
	for d := range s.Sink.All() {
		n++
		found, err := dkim.VerifyWithOptions(bytes.NewReader(d.Raw), &dkim.VerifyOptions{LookupTXT: s.Opendkim.LookupTXT})
		if err != nil || len(found) != 1 || found[0].Err != nil {
			t.Fatalf("%s, by %s: %d signatures, %v, %+v", d.ID, d.Listener, len(found), err, found)
		}
	}
	t.Logf("%d signatures verified", n)
}

// TestPostfixMixedTraffic is the main job: half the mail is bulk and leaves through Millrace, the rest leaves through
// Postfix. Nothing may be lost, doubled or altered, and DKIM signatures made before Millrace must verify.
func TestPostfixMixedTraffic(t *testing.T) {
	for _, form := range []string{"relaxed/relaxed", "simple/simple"} {
		t.Run(strings.ReplaceAll(form, "/", "-"), func(t *testing.T) {
			s := beside(t, Options{Keep: true, Sign: form})
			r := send(t, s, load.Config{Messages: size(600, 10_000), Conns: 10, MinSize: 1000, MaxSize: 60_000, Plain: 0.5, Personal: 0.3, VERP: true})
			arrived(t, s, r)
			rightSide(t, s, r)
			verifySignatures(t, s)
		})
	}
}

// TestPostfixCampaign is a campaign of bulk alone. With Postfix's default in_flow_delay it would crawl at one message a
// second for each connection, if Millrace did not drip.
func TestPostfixCampaign(t *testing.T) {
	s := beside(t, Options{})
	r := send(t, s, load.Config{Messages: size(500, 10_000), Conns: 10, Personal: 0.1})
	arrived(t, s, r)
	rightSide(t, s, r)
	if q, err := s.Postfix.Queue(); err != nil || len(q) > 0 {
		t.Errorf("Postfix still queues %d messages, %v", len(q), err)
	}
	st, err := s.Millrace.Status()
	if err != nil || st.Taken != int64(len(r.Records)) || st.Sent != st.Taken || st.Doors[0].Dripped < st.Taken/dripEvery {
		t.Errorf("status %+v, %v", st, err)
	}
}

// TestSendmailMixedTraffic is TestPostfixMixedTraffic beside a Sendmail.
func TestSendmailMixedTraffic(t *testing.T) {
	mta.Require(t, mta.SendmailPart, mta.OpendkimPart)
	s := newScene(t, Options{Keep: true, Sign: "relaxed/relaxed"})
	if err := s.StartSendmail(); err != nil {
		t.Fatal(err)
	}
	r := send(t, s, load.Config{Messages: size(200, 2000), Conns: 10, MinSize: 1000, MaxSize: 60_000, Plain: 0.5, Personal: 0.3, VERP: true})
	if err := s.Sendmail.Flush(); err != nil {
		t.Error(err)
	}
	arrived(t, s, r)
	rightSide(t, s, r)
	verifySignatures(t, s)
}

// TestMillraceStopped: when Millrace is gone, mail flows through Postfix, also on SMTP connections that were open
// before.
func TestMillraceStopped(t *testing.T) {
	s := beside(t, Options{})
	arrived(t, s, send(t, s, load.Config{Messages: 20, Prefix: "before"}))
	if err := s.Millrace.Stop(patience); err != nil {
		t.Fatal(err)
	}
	before := s.Sink.Count()
	r := send(t, s, load.Config{Messages: 50, Prefix: "while"})
	if err := s.Wait(t.Context(), before+50, time.Minute); err != nil {
		t.Error(err)
	}
	for d := range s.Sink.All() {
		if strings.HasPrefix(d.ID, "while") && d.Listener != "remote" {
			t.Errorf("%s came by %s", d.ID, d.Listener)
		}
	}
	if n := countPrefix(s.Sink, "while"); n != len(r.Records) {
		t.Errorf("%d arrived, want %d", n, len(r.Records))
	}
}

func countPrefix(s *sink.Sink, prefix string) (n int) {
	for d := range s.All() {
		if strings.HasPrefix(d.ID, prefix) {
			n++
		}
	}
	return n
}

// TestRestartUnderLoad stops and starts Millrace all the time while a campaign runs through Postfix.
func TestRestartUnderLoad(t *testing.T) {
	s := beside(t, Options{Receivers: sink.Character{Delay: time.Millisecond}})
	ctx, cancel := context.WithCancel(t.Context())
	restarts := make(chan int, 1)
	go func() { // ends with the campaign
		n := 0
		for ; ctx.Err() == nil; n++ {
			time.Sleep(700 * time.Millisecond)
			if err := s.Millrace.Stop(patience); err != nil {
				t.Error(err)
			}
			if err := s.Millrace.Start(); err != nil {
				t.Error(err)
				break
			}
		}
		restarts <- n
	}()
	r, err := load.Run(t.Context(), load.Config{Addr: s.Addr(), Messages: size(1500, 10_000), Conns: 10, Attempts: 5, MinSize: 3000, Personal: 0.1})
	cancel()
	t.Logf("%d restarts", <-restarts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), r.Recipients(), 2*time.Minute); err != nil {
		t.Error(err)
	}
	if err := load.Compare(r.Records, s.Sink.All()).Err(); err != nil {
		t.Error(err)
	}
}

// TestDrainAndRestore: Millrace ends in time on SIGTERM with a full queue, and delivers the whole queue, once, after
// the next start.
func TestDrainAndRestore(t *testing.T) {
	mta.Require(t, mta.PostfixPart)
	n := size(3000, 50_000)
	s := beside(t, Options{Receivers: sink.Character{Faults: []sink.Fault{{Stage: sink.Banner, Do: sink.Reply421, Times: 1 << 30}}},
		Config: "pool.closed_for = [\"1h\"]"})
	r := send(t, s, load.Config{Messages: n, Conns: 10, MinSize: 1500, Personal: 0.1, Pipelining: true})
	st, err := s.Millrace.Status()
	if err != nil || st.Messages != int64(n) {
		t.Fatalf("%d messages wait, want %d; %v", st.Messages, n, err)
	}
	begin := time.Now()
	if err := s.Millrace.Stop(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped with %d waiting in %s", n, time.Since(begin).Round(time.Millisecond))
	s.reroute(t)
	if err := s.Millrace.Start(); err != nil {
		t.Fatal(err)
	}
	arrived(t, s, r)
}

// reroute has Millrace deliver to a listener that works.
func (s *Scene) reroute(t *testing.T) {
	t.Helper()
	addr, err := s.Sink.Listen("127.0.0.1:0", sink.Character{Name: "bulk2"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Millrace.Replace(daemon.NextHop(s.Bulk), daemon.NextHop(addr.String())); err != nil {
		t.Fatal(err)
	}
}
