package scenario

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/sink"
)

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// TestBounceReachesTheSender: when receivers refuse recipients for good, a DSN goes through Postfix to the envelope
// sender. The mail log tells the whole life of the message under Postfix's queue id.
func TestBounceReachesTheSender(t *testing.T) {
	s := beside(t, Options{Keep: true, Receivers: sink.Character{Refuse: sink.Matching("bad*")}})
	submit(t, s.Addr(), "<news+1@sender.test> ENVID=QQ1 RET=HDRS",
		[]string{"<good@far.test>", "<bad1@far.test> ORCPT=rfc822;Bad1@far.test", "<bad2@other.test>", "<bad3@far.test> NOTIFY=NEVER"},
		[]int{250, 250, 250, 250}, bulkMessage("bounce"))
	expect(t, s, map[string]int{"bulk good@far.test": 1, "remote news+1@sender.test": 1})
	for _, d := range s.Sink.Deliveries() {
		if d.Listener == "remote" {
			checkDSN(t, d)
		}
	}
	checkMailLog(t, s)
}

// TestBounceBesideSendmail: a DSN goes through the listener that contrib/sendmail adds.
func TestBounceBesideSendmail(t *testing.T) {
	mta.Require(t, mta.SendmailPart)
	s := newScene(t, Options{Keep: true, Receivers: sink.Character{Refuse: sink.Matching("bad*")}})
	if err := s.StartSendmail(); err != nil {
		t.Fatal(err)
	}
	submit(t, s.Addr(), "<news+1@sender.test> ENVID=QQ1 RET=HDRS",
		[]string{"<good@far.test>", "<bad1@far.test> ORCPT=rfc822;Bad1@far.test", "<bad2@other.test>"}, []int{250, 250, 250}, bulkMessage("bounce"))
	expect(t, s, map[string]int{"bulk good@far.test": 1, "remote news+1@sender.test": 1})
	for _, d := range s.Sink.Deliveries() {
		if d.Listener == "remote" {
			checkDSN(t, d)
		}
	}
}

// TestHandbackBesideSendmail: Sendmail delivers what Millrace hands back, by the same listener.
func TestHandbackBesideSendmail(t *testing.T) {
	mta.Require(t, mta.SendmailPart)
	s := newScene(t, Options{Config: "handback.visits = 1"})
	if err := s.StartSendmail(); err != nil {
		t.Fatal(err)
	}
	if err := s.Millrace.Replace(daemon.NextHop(s.Bulk), daemon.NextHop(s.refusing(t))); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	submit(t, s.Addr(), "<news@sender.test>", []string{"<a@far.test>"}, []int{250}, bulkMessage("back"))
	expect(t, s, map[string]int{"remote a@far.test": 1})
	if st, err := s.Millrace.Status(); err != nil || st.HandedBack != 1 || st.Taken != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
}

func checkDSN(t *testing.T, d sink.Delivery) {
	t.Helper()
	if d.From != "" {
		t.Errorf("DSN from <%s>, want the null sender", d.From)
	}
	text := string(d.Raw)
	for _, want := range []string{
		"Content-Type: multipart/report", "Auto-Submitted: auto-replied", "Original-Envelope-Id: QQ1",
		"Original-Recipient: rfc822; Bad1@far.test", "Final-Recipient: rfc822; bad1@far.test", "Final-Recipient: rfc822; bad2@other.test",
		"Action: failed", "Status: 5.1.1", "List-Id: <news.sender.test>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("DSN lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "bad3@") || strings.Contains(text, "good@far.test>: ") {
		t.Errorf("DSN names a recipient it should not:\n%s", text)
	}
}

// checkMailLog follows the message through Millrace's mail log by Postfix's queue id, and has pflogsumm count it.
func checkMailLog(t *testing.T, s *Scene) {
	t.Helper()
	log, err := s.Postfix.Log()
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`(\w+): milter-discard`).FindStringSubmatch(log)
	if id == nil {
		t.Fatalf("Postfix logged no discarded message:\n%s", log)
	}
	eventually(t, "the mail log says removed", func() bool { return strings.Contains(s.Millrace.MailLog(), id[1]+": removed") })
	var life []string
	for line := range strings.Lines(s.Millrace.MailLog()) {
		if strings.Contains(line, id[1]+": ") {
			life = append(life, line)
		}
	}
	all := strings.Join(life, "")
	for _, want := range []string{"from=<news+1@sender.test>, size=", "(taken)", "(queue active)", "to=<good@far.test>", "status=sent (250", "to=<bad1@far.test>", "dsn=5.1.1, status=bounced", "non-delivery notification", "removed"} {
		if !strings.Contains(all, want) {
			t.Errorf("the life of %s lacks %q:\n%s", id[1], want, all)
		}
	}
	out, err := exec.Command("/usr/sbin/pflogsumm", s.Millrace.MailLogFile()).CombinedOutput()
	if err != nil {
		t.Fatalf("pflogsumm: %v\n%s", err, out)
	}
	for _, want := range []string{`(?m)^\s+1\s+delivered`, `(?m)^\s+3\s+bounced`, `(?m)^\s+1\s+forwarded`} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("pflogsumm does not count %s:\n%.1500s", want, out)
		}
	}
}

// TestHandback: after two failed visits a message goes back to Postfix's disk queue, and Postfix delivers it. Millrace
// does not take it again.
func TestHandback(t *testing.T) {
	s := beside(t, Options{Config: "handback.visits = 2"})
	if err := s.Millrace.Replace(daemon.NextHop(s.Bulk), daemon.NextHop(s.refusing(t))); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	r := send(t, s, load.Config{Messages: 20, Conns: 2, MinSize: 3000})
	arrived(t, s, r)
	for d := range s.Sink.All() {
		if d.Listener != "remote" {
			t.Errorf("%s came by %s", d.ID, d.Listener)
		}
	}
	eventually(t, "all are handed back", func() bool {
		st, err := s.Millrace.Status()
		return err == nil && st.HandedBack == 20 && st.Messages == 0 && st.Taken == 20
	})
}

// TestHandbackComesBackThroughTheMilter: Millrace does not take a message that it has handed back, even when the MTA
// offers it again.
func TestHandbackComesBackThroughTheMilter(t *testing.T) {
	s := beside(t, Options{Config: "handback.visits = 1"})
	if err := s.Millrace.Replace(daemon.NextHop(s.Bulk), daemon.NextHop(s.refusing(t))); err != nil {
		t.Fatal(err)
	}
	if err := s.Millrace.Replace(daemon.NextHop(s.Millrace.inject), daemon.NextHop(s.Postfix.Addr)); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	arrived(t, s, send(t, s, load.Config{Messages: 10, Conns: 2, MinSize: 3000}))
	if st, err := s.Millrace.Status(); err != nil || st.Taken != 10 {
		t.Errorf("taken %d, want 10; %v", st.Taken, err)
	}
}

// refusing opens a listener that answers 451 to each recipient, and returns its address.
func (s *Scene) refusing(t *testing.T) string {
	t.Helper()
	addr, err := s.Sink.Listen("127.0.0.1:0", sink.Character{Name: "refusing", Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 1 << 30}}})
	if err != nil {
		t.Fatal(err)
	}
	return addr.String()
}

func (s *Scene) restart(t *testing.T) {
	t.Helper()
	if err := s.Millrace.Stop(patience); err != nil {
		t.Fatal(err)
	}
	if err := s.Millrace.Start(); err != nil {
		t.Fatal(err)
	}
}

// TestObserveAndReload: in the mode observe nothing is taken, only counted. A reload of a bad file changes nothing and
// says so. A reload of a good file takes effect without a restart.
func TestObserveAndReload(t *testing.T) {
	s := beside(t, Options{})
	d := s.Millrace
	if err := d.Replace(`mode = "deliver"`, `mode = "observe"`); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	arrived(t, s, send(t, s, load.Config{Messages: 20, Prefix: "observed"}))
	st, err := d.Status()
	if err != nil || st.Taken != 0 || len(st.Doors) != 1 || st.Doors[0].WouldTake != 20 {
		t.Errorf("in observe mode: %+v, %v", st, err)
	}
	if err := d.Replace(`mode = "observe"`, `mode = "delivr"`); err != nil {
		t.Fatal(err)
	}
	d.reload(t, "delivr")
	if st, err := d.Status(); err != nil || st.Mode != "observe" {
		t.Errorf("after a bad reload: %q, %v", st.Mode, err)
	}
	if err := d.Replace(`mode = "delivr"`, `mode = "deliver"`); err != nil {
		t.Fatal(err)
	}
	d.reload(t, "reloaded")
	r := send(t, s, load.Config{Messages: 20, Prefix: "taken"})
	if err := s.Wait(t.Context(), 40, time.Minute); err != nil {
		t.Error(err)
	}
	if st, err := d.Status(); err != nil || st.Taken != int64(len(r.Records)) {
		t.Errorf("after a good reload: taken %d, %v", st.Taken, err)
	}
}

// reload sends SIGHUP and waits until the technical log says something.
func (d *Millrace) reload(t *testing.T, says string) {
	t.Helper()
	d.Signal(syscall.SIGHUP)
	eventually(t, "the log says "+says, func() bool { return strings.Contains(d.Log(), says) })
}

// TestQueueCommands: "queue list" and "queue show" say why mail waits and when its next attempt is, for a human and as
// JSON.
func TestQueueCommands(t *testing.T) {
	s := beside(t, Options{Config: "retry.schedule = [\"1h\"]"})
	if err := s.Millrace.Replace(daemon.NextHop(s.Bulk), daemon.NextHop(s.refusing(t))); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	send(t, s, load.Config{Messages: 3, Conns: 1, MinSize: 3000})
	eventually(t, "all are deferred", func() bool {
		st, err := s.Millrace.Status()
		return err == nil && st.Deferred == 3
	})
	out, err := s.Millrace.Run("queue", "list", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var l relay.Listing
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&l); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if l.QueueName != "deferred" || l.QueueID == "" || len(l.Recipients) != 1 || !strings.Contains(l.Recipients[0].DelayReason, "451") || l.Recipients[0].NextAttempt == 0 || l.Expires == 0 {
		t.Errorf("list: %+v", l)
	}
	for _, args := range [][]string{{"queue", "list"}, {"queue", "show", l.QueueID}, {"status"}} {
		if out, err := s.Millrace.Run(args...); err != nil || out == "" {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestRefusesToStart: the daemon refuses each of these starts with one clear line.
func TestRefusesToStart(t *testing.T) {
	s := newScene(t, Options{})
	cases := []struct {
		name, old, new, says string
	}{
		{"a second daemon on the same directory", "", "", "another"},
		{"a port in use", s.Millrace.Milter, s.Remote, "in use"},
		{"a state directory that cannot be", s.Millrace.StateDir(), filepath.Join(s.Millrace.Dir, "mail.log", "state"), "state"},
		{"an unknown key", "mode =", "mod =", "did you mean"},
		{"a wrong type", `mode = "deliver"`, `mode = 7`, "mode"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text, err := s.Millrace.Configured()
			if err != nil {
				t.Fatal(err)
			}
			text = strings.ReplaceAll(text, s.Millrace.Socket(), filepath.Join(t.TempDir(), "c.sock"))
			if c.old != "" {
				text = strings.ReplaceAll(text, c.old, c.new)
				if c.name == "a port in use" {
					text = strings.ReplaceAll(text, s.Millrace.StateDir(), filepath.Join(t.TempDir(), "state"))
				}
			}
			path := filepath.Join(t.TempDir(), "millrace.toml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(binary, "serve", "-c", path).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.says) {
				t.Errorf("%v, says:\n%s", err, out)
			}
			if n := strings.Count(strings.TrimSpace(string(out)), "\n"); n > 1 {
				t.Errorf("more than one clear line:\n%s", out)
			}
		})
	}
}

// TestMalformedMail: malformed mail that Postfix lets through arrives as Postfix alone would have sent it, whether
// Millrace takes it or not.
func TestMalformedMail(t *testing.T) {
	head := "X-Ledger: %\r\nFrom: <news@sender.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%@sender.test>\r\n" +
		"List-Id: <n.sender.test>\r\nPrecedence: bulk\r\nList-Unsubscribe: <https://x.test>\r\n"
	cases := map[string]string{
		"nul":      head + "\r\na\x00b\r\n",
		"barecr":   head + "\r\na\rb\r\n",
		"longline": head + "\r\n" + strings.Repeat("x", 1<<20) + "\r\n",
		"headers":  head + strings.Repeat("X-More: yes\r\n", 1000) + "\r\nbody\r\n",
		"nobody":   head + "\r\n",
		"nospace":  head + "Subject:x\r\nX-Folded:\r\n\tfar\r\nX-Empty:\r\n\r\nbody\r\n",
		"dots":     head + "\r\n.\r\n..\r\n...\r\n",
		"eightbit": head + "Subject: \xe9\r\n\r\ncaf\xe9\r\n",
		"nocolon":  head + "no colon here\r\n\r\nbody\r\n",
		"noheader": "just a line\r\n",
	}
	s := beside(t, Options{Keep: true})
	for name, text := range cases {
		text = strings.ReplaceAll(text, "%", name)
		for _, addr := range []string{s.Addr(), s.Millrace.inject} { // one listener offers it to Millrace, the other does not
			submit(t, addr, "<news@sender.test> BODY=8BITMIME", []string{"<" + name + "@far.test>"}, []int{250}, text)
		}
	}
	if err := s.Wait(t.Context(), 2*len(cases), time.Minute); err != nil {
		t.Error(err)
	}
	first := make(map[string]sink.Delivery)
	for _, d := range s.Sink.Deliveries() {
		other, twice := first[d.Rcpt]
		if !twice {
			first[d.Rcpt] = d
			continue
		}
		t.Logf("%s: by %s and %s", d.Rcpt, other.Listener, d.Listener)
		if d.Core != other.Core && d.Rcpt != "noheader@far.test" { // there Postfix adds a Message-ID of its own
			t.Errorf("%s differs:\n%.900q\n%.900q", d.Rcpt, other.Raw, d.Raw)
		}
	}
	if len(first) != len(cases) {
		t.Errorf("%d of %d arrived", len(first), len(cases))
	}
}
