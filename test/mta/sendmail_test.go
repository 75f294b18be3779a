package mta

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/load"
)

func startSendmail(t *testing.T, c SendmailConfig) *Sendmail {
	t.Helper()
	Require(t, SendmailPart)
	s, err := StartSendmail(t.TempDir(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSendmailDelivers(t *testing.T) {
	far, remote, local := farEnd(t)
	s := startSendmail(t, SendmailConfig{Relay: remote, Local: map[string]string{"local.test": local}})
	send(t, far, load.Config{
		Addr: s.Addr, Messages: 50, Rcpts: 2, MinSize: 3000, MaxSize: 60_000, Plain: 0.3, Conns: 4, Seed: 1,
		Domains: []string{"a.test", "b.test", "local.test"},
	})
	for d := range far.All() {
		if toLocal := strings.HasSuffix(d.Rcpt, "@local.test"); toLocal != (d.Listener == "local.test") {
			t.Fatalf("%s arrived at %s", d.Rcpt, d.Listener)
		}
	}
	eventually(t, "the queue is empty", func() bool {
		queue, err := s.Queue()
		return err == nil && len(queue) == 0
	})
}

// millraceMC is contrib/sendmail/millrace.mc with the milter at addr.
func millraceMC(t *testing.T, addr string) string {
	t.Helper()
	text, err := ReadSendmailFragment("../../contrib/sendmail", addr, awayAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSendmailFragment(t *testing.T) {
	t.Run("dead", func(t *testing.T) {
		dead := awayAddr(t)
		far, remote, _ := farEnd(t)
		s := startSendmail(t, SendmailConfig{Relay: remote, Fragment: millraceMC(t, dead)})
		send(t, far, load.Config{Addr: s.Addr, Messages: 5, Conns: 2})
	})
	t.Run("dead socket", func(t *testing.T) { // also the directory goes when the daemon ends
		far, remote, _ := farEnd(t)
		s := startSendmail(t, SendmailConfig{Relay: remote, Fragment: millraceMC(t, filepath.Join(t.TempDir(), "run", "milter.sock"))})
		send(t, far, load.Config{Addr: s.Addr, Messages: 5, Conns: 2})
	})
	t.Run("takes all", func(t *testing.T) {
		far, remote, _ := farEnd(t)
		d := startDiscarder(t)
		s := startSendmail(t, SendmailConfig{Relay: remote, Fragment: millraceMC(t, d.ln.Addr().String())})
		report, err := load.Run(t.Context(), load.Config{Addr: s.Addr, Messages: 20, Conns: 2})
		if err != nil || report.Acked() != 20 || d.taken.Load() != 20 {
			t.Errorf("%d acknowledged, %d taken, %v", report.Acked(), d.taken.Load(), err)
		}
		eventually(t, "the queue is empty", func() bool {
			queue, err := s.Queue()
			return err == nil && len(queue) == 0
		})
		if far.Count() != 0 {
			t.Errorf("%d messages were delivered all the same", far.Count())
		}
	})
}

// TestSendmailListens: the listener of contrib/sendmail comes beside those that Sendmail has, also where sendmail.mc names none.
func TestSendmailListens(t *testing.T) {
	for _, tt := range []struct {
		own  string
		want string
	}{
		{"", "Name=MTA"},
		{"DAEMON_OPTIONS(`Name=own, Addr=127.0.0.1')dnl\n", "Name=own, Addr=127.0.0.1"},
	} {
		s := &Sendmail{Dir: t.TempDir(), Addr: "127.0.0.1:25"}
		s.config = SendmailConfig{Hostname: "mx.test", Fragment: tt.own + millraceMC(t, "127.0.0.1:8895")}
		Require(t, SendmailPart)
		mc, err := s.mc()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(mc, "DAEMON_OPTIONS(`Family=inet, Name=MTA") // the template's own, which a stock file lacks
		head, _, _ := strings.Cut(mc, "DAEMON_OPTIONS(`Family=inet, Name=MTA")
		_, rest, _ = strings.Cut(rest, "\n")
		m4 := exec.Command("m4", "-")
		m4.Stdin = strings.NewReader(head + rest)
		cf, err := run(m4)
		if err != nil {
			t.Fatal(err)
		}
		var listeners []string
		for _, line := range regexp.MustCompile(`(?m)^O DaemonPortOptions=(.*)$`).FindAllStringSubmatch(cf, -1) {
			listeners = append(listeners, line[1])
		}
		if len(listeners) != 2 || listeners[0] != tt.want || !strings.HasSuffix(listeners[1], ", InputMailFilters=") {
			t.Errorf("%q: it listens by %q", tt.own, listeners)
		}
	}
}

// TestSendmailAsksWhatMillraceNeeds reads the sendmail.cf that m4 makes.
func TestSendmailAsksWhatMillraceNeeds(t *testing.T) {
	s := startSendmail(t, SendmailConfig{Milters: []string{"inet:8891@127.0.0.1"}, Fragment: millraceMC(t, "127.0.0.1:8895")})
	cf, err := os.ReadFile(s.cf())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nO SuperSafe=PostMilter\n",
		"\nO InputMailFilters=milter0, millrace\n",
		"\nXmillrace, S=inet:8895@127.0.0.1, T=C:2s;S:10s;R:10s;E:1m\n",
		"{rcpt_mailer}",
		"{msg_id}, i, j, {daemon_name}",
	} {
		if !strings.Contains(string(cf), want) {
			t.Errorf("%q is not in sendmail.cf", want)
		}
	}
}

func TestSendmailQueueSurvives(t *testing.T) {
	away := awayAddr(t)
	s := startSendmail(t, SendmailConfig{Relay: away})
	queueSurvives(t, s, s.Addr, away, s.Kill)
}
