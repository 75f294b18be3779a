package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/sink"
)

// behindSendmail starts a Millrace, and a Sendmail with the lines of contrib/sendmail/doors.mc, in which only the ports are replaced.
func behindSendmail(t *testing.T, o Options) *Scene {
	t.Helper()
	mta.Require(t, mta.SendmailPart)
	pairs, err := freePorts(documented)
	if err != nil {
		t.Fatal(err)
	}
	ports := strings.NewReplacer(pairs...)
	o.Config += ports.Replace("bulk.local_domains = [\"" + LocalDomain + "\"]\nsmtpd.filter = [\"inet:127.0.0.1:8896\"]\nsmtpd.reinject = \"[127.0.0.1]:10027\"\n")
	s := newScene(t, o)
	text, err := os.ReadFile(filepath.Join(ContribDir, "sendmail", "doors.mc"))
	if err != nil {
		t.Fatal(err)
	}
	port := func(documented string) string {
		_, port, _ := strings.Cut(ports.Replace("127.0.0.1:"+documented), ":")
		return port
	}
	lines := strings.NewReplacer("8896", port("8896"), "10027", port("10027")).Replace(string(text))
	dir, err := s.mkdir("sendmail")
	if err != nil {
		t.Fatal(err)
	}
	s.Sendmail, err = mta.StartSendmail(dir, mta.SendmailConfig{Relay: s.Remote, Local: map[string]string{LocalDomain: s.Local}, Lines: []string{lines}})
	if err != nil {
		t.Fatal(err)
	}
	s.closers = append(s.closers, s.Sendmail.Stop)
	return s
}

// TestAfterSendmail: behind Sendmail's queue bulk goes by Millrace and the rest by Sendmail, also when a receiver puts it off first, and all of it
// by Sendmail while the daemon is down.
func TestAfterSendmail(t *testing.T) {
	t.Parallel() // it waits for Sendmail more than it works
	s := behindSendmail(t, Options{Receivers: sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 3}}}})
	all := throughSendmail(t, s, "up")
	if st, err := s.Millrace.Status(); err != nil || st.Doors[1].Seen != int64(len(all)) {
		t.Errorf("the door has seen %+v, %v: mail goes round, or does not come", st.Doors, err)
	}
	if err := s.Millrace.Stop(patience); err != nil {
		t.Fatal(err)
	}
	all = append(all, throughSendmail(t, s, "down")...)
	if err := load.Compare(all, s.Sink.All()).Err(); err != nil {
		t.Error(err)
	}
	bulk := make(map[string]bool)
	for _, r := range all {
		bulk[r.ID] = r.Bulk && strings.HasPrefix(r.ID, "up")
	}
	for d := range s.Sink.All() {
		if (d.Listener == "bulk") != (bulk[d.ID] && !strings.HasSuffix(d.Rcpt, "@"+LocalDomain)) {
			t.Errorf("%s for %s came by %s", d.ID, d.Rcpt, d.Listener)
		}
	}
}

// throughSendmail sends mail of all kinds, and waits until all of it has arrived and Sendmail has nothing left.
func throughSendmail(t *testing.T, s *Scene, prefix string) []load.Record {
	t.Helper()
	before := s.Sink.Count()
	r := send(t, s, load.Config{Prefix: prefix, Messages: 40, Rcpts: 2, MinSize: 1500, Plain: 0.5, Domains: []string{prefix + ".test", LocalDomain, "b" + prefix + ".test"}})
	eventually(t, "all of it has arrived", func() bool {
		queue, err := s.Sendmail.Queue()
		if err == nil && len(queue) > 0 {
			_ = s.Sendmail.Flush()
		}
		return len(queue) == 0 && s.Sink.Count() >= before+r.Recipients()
	})
	time.Sleep(200 * time.Millisecond) // a copy too many
	return r.Records
}
