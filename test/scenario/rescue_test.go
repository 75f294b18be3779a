package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
)

// newStuck makes a Stuck with a backlog of so many messages for ten sites, two of them dead and two slow, 5 local messages and 3 large.
func newStuck(t *testing.T, messages int) *Stuck {
	t.Helper()
	mta.Require(t, mta.PostfixPart)
	s, err := NewStuck(t.TempDir(), binary, 10, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log, _ := s.Postfix.Log()
			t.Logf("millrace:\n%s\nPostfix:\n%s", s.Millrace.LogTail(), log[max(0, len(log)-6000):])
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Fill(ctx, messages, 5, 3); err != nil {
		t.Fatal(err)
	}
	return s
}

// rescued is what the command prints with --json.
type rescued struct {
	Plan struct {
		Messages, Carried int
		Sites             []struct {
			Site    string
			Reasons []struct {
				Text  string
				Count int
			}
		}
		Staying []struct {
			Text  string
			Count int
		}
	}
	Report struct{ Carried, Sent, Waiting, Returned, Left, Elsewhere int }
}

func readRescued(t *testing.T, out []byte) (r rescued) {
	t.Helper()
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		if err := dec.Decode(&r); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return r
}

func settings(t *testing.T, s *Stuck) string {
	t.Helper()
	text, err := s.Settings()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRescue: all that can be carried is, each recipient once; the rest is in Postfix's queue; main.cf and master.cf are what they were. The
// command works although it cannot write the queue directory.
func TestRescue(t *testing.T) {
	const messages, dead = 200, 40
	s := newStuck(t, messages)
	was := settings(t, s)
	out, err := s.Command("--dry-run", "--json").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := readRescued(t, out).Plan
	if p.Messages != messages+8 || p.Carried != messages || len(p.Sites) != 11 {
		t.Errorf("the plan carries %d of %d at %d sites: %s", p.Carried, p.Messages, len(p.Sites), out)
	}
	if !strings.Contains(string(out), "virtual_mailbox_domains") || !strings.Contains(string(out), "421 4.7.0 too much mail from you") {
		t.Errorf("the plan does not say what it should: %s", out)
	}
	if settings(t, s) != was || s.Sink.Count() > 0 {
		t.Fatal("a dry run has changed something")
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	need(t, "unshare", "nsenter")
	out, err = s.ReadOnly(s.Command("--json", "--wait", "1m")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r := readRescued(t, out).Report
	if r.Carried != messages || r.Left+r.Returned+r.Elsewhere != 0 || r.Sent+r.Waiting != messages || r.Waiting < dead {
		t.Errorf("%+v: %s", r, out)
	}
	if settings(t, s) != was {
		t.Error("main.cf or master.cf are not what they were")
	}
	expectRescued(t, s, messages-dead, dead, 8)
}

// expectRescued compares what has arrived with what was sent, and counts what waits at Millrace and in Postfix's queue.
func expectRescued(t *testing.T, s *Stuck, arrived, waiting, left int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Sink.Wait(ctx, arrived); err != nil {
		t.Error(err)
	}
	c := load.Compare(s.Records, s.Sink.All())
	if c.Arrived != arrived || len(c.Duplicated)+len(c.Altered)+len(c.Phantom)+len(c.Misdelivered) > 0 {
		t.Errorf("%d arrived, want %d; %d twice, %d altered, %d phantoms, %d misdelivered", c.Arrived, arrived, len(c.Duplicated), len(c.Altered), len(c.Phantom), len(c.Misdelivered))
	}
	st, err := s.Millrace.Status()
	if err != nil || int(st.Messages) != waiting {
		t.Errorf("%d wait at Millrace, want %d: %v", st.Messages, waiting, err)
	}
	list, err := s.Postfix.Queue()
	if err != nil || len(list) != left {
		t.Errorf("%d are left with Postfix, want %d: %v", len(list), left, err)
	}
	if log, _ := s.Postfix.Log(); strings.Contains(log, "status=bounced") {
		t.Error("Postfix has returned mail")
	}
}

// TestRescueKilled: what a killed rescue leaves still brings mail to Millrace and is put back by --undo, with another's change kept.
func TestRescueKilled(t *testing.T) {
	s := newStuck(t, 20)
	if err := s.Millrace.Stop(patience); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Command().CombinedOutput(); err == nil || err.(*exec.ExitError).ExitCode() != 69 {
		t.Errorf("without a daemon: %v %s", err, out)
	}
	if err := s.Millrace.Start(); err != nil {
		t.Fatal(err)
	}
	breakOff(t, s)
	if out, err := s.Command("--status").CombinedOutput(); err != nil || !strings.Contains(string(out), "--undo") {
		t.Errorf("--status: %v %s", err, out)
	}
	newMail(t, s)
	if _, err := s.Postfix.Postconf("-e", "always_bcc="); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Command("--undo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	now := settings(t, s)
	if strings.Contains(now, "millrace-rescue") || strings.Contains(now, "texthash") || !strings.Contains(now, "always_bcc =") {
		t.Errorf("--undo leaves: %s", now)
	}
}

// newMail sends mail while the settings of a rescue are in force: for somebody new Postfix delivers it itself, and for somebody with mail
// in the backlog Millrace does.
func newMail(t *testing.T, s *Stuck) {
	t.Helper()
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	old := s.Records[len(s.Records)-1-3].Rcpts[0] // the last that is not large
	for rcpt, want := range map[string]string{"new@d9.test": s.Sites[9].addr, old: s.Door} {
		submit(t, s.Postfix.Addr, "<news@sender.test>", []string{"<" + rcpt + ">"}, []int{250}, bulkMessage("later "+rcpt))
		host, port, _ := strings.Cut(want, ":")
		line := regexp.MustCompile(`to=<` + regexp.QuoteMeta(rcpt) + `>, relay=` + regexp.QuoteMeta(host) + `\[` + regexp.QuoteMeta(host) + `\]:` + port + `, .*status=sent`)
		for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			log, err := s.Postfix.Log()
			if err != nil {
				t.Fatal(err)
			}
			if line.MatchString(log) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("Postfix has not sent mail for %s to %s", rcpt, want)
			}
		}
	}
}

// TestRescueByHand: the commands of the page put the settings back without Millrace.
func TestRescueByHand(t *testing.T) {
	commands, err := mta.Commands(filepath.Join(ContribDir, "postfix", "RESCUE.md"), "By hand")
	if err != nil {
		t.Fatal(err)
	}
	s := newStuck(t, 10)
	was := settings(t, s)
	breakOff(t, s)
	if err := s.Postfix.Shell(commands[0]); err != nil {
		t.Fatal(err)
	}
	if now := settings(t, s); now != was {
		t.Errorf("put back: %s", now)
	}
	if out, err := s.Command("--status").CombinedOutput(); err != nil || string(out) != "no rescue is in force\n" {
		t.Errorf("--status: %v %s", err, out)
	}
}

// breakOff begins a rescue and kills it when its settings are in force.
func breakOff(t *testing.T, s *Stuck) {
	t.Helper()
	was := settings(t, s)
	cmd := s.Command("--wait", "1m")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); settings(t, s) == was || !strings.Contains(settings(t, s), "texthash"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the settings are not changed: %s", out.String())
		}
	}
	if out, err := s.Command("--undo").CombinedOutput(); err == nil || !strings.Contains(string(out), "under way") {
		t.Errorf("--undo beside a rescue: %v %s", err, out)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// TestRescueOverRestart: a daemon that is killed and started again in the middle of a rescue takes the rest, and sends nothing back to
// Postfix, because the transport says what it brings.
func TestRescueOverRestart(t *testing.T) {
	const messages = 200
	s := newStuck(t, messages)
	was := settings(t, s)
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	cmd := s.Command("--json", "--wait", "2m")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); s.Sink.Count() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nothing is sent: %s", out.String())
		}
	}
	if err := errors.Join(s.Millrace.Kill(), s.Millrace.Start()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	r := readRescued(t, out.Bytes()).Report
	if r.Carried != messages || r.Left != 0 || r.Sent+r.Waiting+r.Elsewhere != messages {
		t.Errorf("%+v", r)
	}
	if settings(t, s) != was {
		t.Error("main.cf or master.cf are not what they were")
	}
	log, err := s.Postfix.Log()
	if err != nil || strings.Contains(log, "status=bounced") {
		t.Errorf("Postfix has returned mail: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Sink.Wait(ctx, messages-40); err != nil {
		t.Error(err)
	}
	twice := strings.Count(s.Millrace.MailLog(), "may be delivered twice")
	c := load.Compare(s.Records, s.Sink.All())
	if lost := len(c.Lost) - 40 - 3; lost > 0 || len(c.Duplicated) > twice || len(c.Altered)+len(c.Phantom) > 0 {
		t.Errorf("%d lost, %d twice and %d named, %d altered", lost, len(c.Duplicated), twice, len(c.Altered))
	}
	if list, err := s.Postfix.Queue(); err != nil || len(list) != 8 {
		t.Errorf("%d messages are left with Postfix: %v", len(list), err)
	}
}
