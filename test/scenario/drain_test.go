package scenario

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
)

// TestDrainBesidePostfix: half of what waits is for a site that is dead. A drain sends the rest and gives that half back: all of it
// arrives, each message once, and Millrace does not take it again. Then Postfix is plain, without Millrace.
func TestDrainBesidePostfix(t *testing.T) {
	t.Parallel() // it waits more than it works
	mta.Require(t, mta.PostfixPart)
	o := Options{Keep: true}
	s, err := New(t.TempDir(), binary, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []func() error{
		s.HalfDead, s.StartMillrace, func() error { return s.StartPostfix(o) }, func() error { return s.SlowBulk(SlowReceiver{Conns: 10, Each: 200 * time.Millisecond}) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	n := size(500, 20_000)
	r := send(t, s, load.Config{Messages: n, Domains: []string{"far.test", DeadDomain}, MinSize: 3000, Prefix: "drain"})
	d, err := s.DrainAll(5*time.Minute, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", d)
	if d.Queued > 0 || d.Sent != int64(n/2) || d.Before < int64(n/2) {
		t.Errorf("%+v", d)
	}
	knownAgain(t, s)
	plain(t, s)
}

// knownAgain: mail that was handed back and comes to Postfix's front door once more stays with Postfix, also after the drain.
func knownAgain(t *testing.T, s *Scene) {
	t.Helper()
	if out, err := s.Millrace.Run("undrain"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := s.Sink.Counts("bulk").Messages
	for d := range s.Sink.All() {
		if strings.HasSuffix(d.Rcpt, "@"+DeadDomain) {
			submit(t, s.Addr(), "<"+d.From+">", []string{"<" + d.Rcpt + ">"}, []int{250}, string(d.Raw))
			break
		}
	}
	eventually(t, "the message comes again", func() bool {
		queue, err := s.Postfix.Queue()
		return err == nil && len(queue) == 0
	})
	st, err := s.Millrace.Status()
	if err != nil || st.Messages > 0 || s.Sink.Counts("bulk").Messages > before {
		t.Errorf("it was taken again: %d messages, %v", st.Messages, err)
	}
}

// plain: without Millrace Postfix delivers bulk as if there had never been one.
func plain(t *testing.T, s *Scene) {
	t.Helper()
	if err := s.Millrace.Stop(patience); err != nil {
		t.Fatal(err)
	}
	before := s.Sink.Counts("remote").Messages
	for _, step := range []func() error{
		s.Postfix.Stop, func() error { return s.Postfix.Shell("postconf -X smtpd_milters millrace_milter in_flow_delay\n") }, s.Postfix.Start,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	send(t, s, load.Config{Messages: 20, MinSize: 1000, Prefix: "plain"})
	eventually(t, "Postfix delivers all of it", func() bool { return s.Sink.Counts("remote").Messages == before+20 })
}
