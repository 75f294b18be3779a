package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// pulled is a running daemon between an MTA, a receiver of all mail, and an admin at the command line.
type pulled struct {
	*Daemon
	t   *testing.T
	out *sink.Sink // listener "far" is the receiver, "mta" takes notifications and returned mail
}

func pull(t *testing.T) *pulled {
	t.Helper()
	out, err := sink.New(sink.Config{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	far, err := out.Listen("127.0.0.1:0", sink.Character{Name: "far"})
	if err != nil {
		t.Fatal(err)
	}
	mta, err := out.Listen("127.0.0.1:0", sink.Character{Name: "mta"})
	if err != nil {
		t.Fatal(err)
	}
	d := configured(t)
	for old, new := range map[string]string{
		`mode = "observe"`: `mode = "deliver"`, "[127.0.0.1]:1": NextHop(mta.String()),
		"log.mail =": fmt.Sprintf("route.'*' = %q\nlog.mail =", NextHop(far.String())),
	} {
		if err := d.Replace(old, new); err != nil {
			t.Fatal(err)
		}
	}
	start(t, d)
	p := &pulled{Daemon: d, t: t, out: out}
	p.ready()
	return p
}

// ready waits for the end of the recovery: acts are refused before.
func (p *pulled) ready() {
	p.t.Helper()
	if _, err := p.Recovered(); err != nil {
		p.t.Fatal(err)
	}
}

// again ends the daemon and starts it anew.
func (p *pulled) again(end func() error) {
	p.t.Helper()
	if err := end(); err != nil {
		p.t.Fatal(err)
	}
	start(p.t, p.Daemon)
	p.ready()
}

// offer has the MTA offer one newsletter to Millrace, and reports whether it was taken. Mail to x.test is of the campaign
// autumn.sender.test, all other of spring.sender.test.
func (p *pulled) offer(id, to string) bool {
	p.t.Helper()
	c, err := standin.Dial("unix", filepath.Join(p.Dir, "milter.sock"), standin.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	list := " <spring.sender.test>"
	if strings.HasSuffix(to, "@x.test") {
		list = " <autumn.sender.test>"
	}
	v, err := c.Send(&standin.Message{
		QueueID: id, From: "news@sender.test", Rcpts: standin.To(to), Body: []byte("hello\r\n"),
		Header: []standin.Field{{Name: "X-Ledger", Value: " " + id}, {Name: "List-Id", Value: list}, {Name: "List-Unsubscribe", Value: " <https://sender.test>"}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return v.Taken()
}

// take has the MTA offer messages until Millrace has taken each.
func (p *pulled) take(to string, ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		if !p.offer(id, to) {
			p.t.Fatalf("%s was not taken", id)
		}
	}
}

// says runs a command, and wants that exit status and words that fit the pattern.
func (p *pulled) says(status int, pattern string, args ...string) string {
	p.t.Helper()
	out, err := p.Run(args...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		p.t.Fatal(err)
	}
	if got != status || !regexp.MustCompile(pattern).MatchString(out) {
		p.t.Fatalf("millrace %s: exit status %d: %s\nwant %d and %s", strings.Join(args, " "), got, out, status, pattern)
	}
	return out
}

// await waits until something holds.
func (p *pulled) await(what string, holds func() bool) {
	p.t.Helper()
	err := p.process.Await(Patience, func() error {
		if !holds() {
			return errors.New(what)
		}
		return nil
	})
	if err != nil {
		status, _ := p.Run("queue", "list")
		p.t.Fatalf("%v\n%s\n%s", err, status, p.LogTail())
	}
}

// arrived is the deliveries at one listener of messages with these ids.
func (p *pulled) arrived(where string, ids ...string) (n int) {
	for _, id := range ids {
		for _, d := range p.out.ByID(id) {
			if d.Listener == where {
				n++
			}
		}
	}
	return n
}

// waiting is how many messages wait.
func (p *pulled) waiting() int64 {
	p.t.Helper()
	s, err := p.Status()
	if err != nil {
		p.t.Fatal(err)
	}
	return s.Messages
}

// TestHeldOverARestart: what an admin holds is held over a kill and over a stop, other mail goes on, and the release sends each once.
func TestHeldOverARestart(t *testing.T) {
	p := pull(t)
	p.says(0, `^paused --domain X\.test until it is resumed: 0 messages`, "pause", "--domain", "X.test", "--reason", "not yet")
	p.take("joe@x.test", "A1", "A2", "A3")
	p.take("joe@y.test", "B1")
	p.await("other mail is sent", func() bool { return p.arrived("far", "B1") == 1 && p.waiting() == 3 })
	p.says(0, `held after 0 visits(?s:.*)not yet`, "queue", "show", "A1")
	p.says(0, `^would hold 3 messages \(3 recipients, `, "queue", "hold", "--campaign", "autumn.sender.test", "-n")
	p.says(0, `^held 3 messages \(3 recipients, `, "queue", "hold", "--campaign", "autumn.sender.test", "--reason", "wrong link")
	p.says(0, `\nA1!  `, "queue", "list")
	p.says(0, `^{"queue_name":"hold",`, "queue", "list", "--json", "--domain", "x.test")
	p.says(0, `^ended 1 pause of `, "resume", "--domain", "x.test")
	held := fmt.Sprintf(`hold .* 3  .*uid %d, pid \d+\) +--campaign autumn\.sender\.test: wrong link`, os.Getuid())
	p.says(0, held, "pauses")
	p.again(p.Kill)
	p.says(0, held, "pauses")
	p.says(0, `wrong link`, "queue", "show", "A2")
	p.says(0, `^released 1 message \(`, "queue", "release", "A2")
	p.await("one is released", func() bool { return p.arrived("far", "A2") == 1 })
	p.again(func() error { return p.Stop(Patience) })
	p.await("two wait", func() bool { return p.waiting() == 2 }) // the kill may have brought B1 back
	if n := p.arrived("far", "A1", "A3"); n != 0 {
		t.Errorf("%d held messages were sent", n)
	}
	p.says(0, `^released 2 messages \(`, "queue", "release", "--sender", "@sender.test")
	p.await("all are sent", func() bool { return p.waiting() == 0 })
	if n := p.arrived("far", "A1", "A2", "A3"); n != 3 {
		t.Errorf("%d deliveries of 3 messages", n)
	}
	p.says(1, `no message that is held matches`, "queue", "release")
	if c := p.Complaints(); len(c) > 0 {
		t.Errorf("it complains: %q", c)
	}
}

// TestPauseEnds by itself, also when the daemon was down meanwhile, and not before its time.
func TestPauseEnds(t *testing.T) {
	p := pull(t)
	p.says(0, `^paused `, "pause", "--domain", "x.test", "--for", "6s")
	var ends []relay.Pause
	for dec := json.NewDecoder(strings.NewReader(p.says(0, ``, "pauses", "--json"))); dec.More(); {
		var one relay.Pause
		if err := dec.Decode(&one); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, one)
	}
	if len(ends) != 1 || ends[0].Until.IsZero() || !strings.Contains(ends[0].Who, fmt.Sprintf("uid %d", os.Getuid())) {
		t.Fatalf("%+v", ends)
	}
	p.take("joe@x.test", "A1")
	p.again(p.Kill)
	p.await("the pause ends", func() bool { return p.arrived("far", "A1") == 1 })
	if at := p.out.ByID("A1")[0].Time; at.Before(ends[0].Until) {
		t.Errorf("sent at %s, paused until %s", at, ends[0].Until)
	}
	p.says(0, `^Nothing is paused or held\n$`, "pauses")
}

// TestPausedSite: nothing goes to a receiver that is paused, whatever the domain, also after a kill; the lists say who has paused it.
func TestPausedSite(t *testing.T) {
	p := pull(t)
	p.take("joe@x.test", "A1")
	p.await("it is sent", func() bool { return p.arrived("far", "A1") == 1 && p.waiting() == 0 })
	site := regexp.MustCompile(`"site":"([^"]+)"`).FindStringSubmatch(p.says(0, `"site":`, "sites", "--json", "x.test"))[1]
	p.says(0, `^paused --site \S+ until it is resumed: `, "pause", "--site", site, "--reason", "they called")
	p.take("joe@x.test", "A2")
	p.take("joe@y.test", "B1")
	p.await("its mail says why it waits", func() bool {
		out, _ := p.Run("queue", "show", "B1")
		return strings.Contains(out, "they called")
	})
	p.says(0, `they called`, "sites", "x.test")
	p.again(p.Kill)
	p.says(0, `^VERB.*\npause .*--site .*: they called\n$`, "pauses")
	p.await("its mail waits again", func() bool {
		out, _ := p.Run("queue", "show", "A2")
		return strings.Contains(out, "they called")
	})
	if n := p.arrived("far", "A2", "B1"); n != 0 {
		t.Errorf("%d were sent to a site that is paused", n)
	}
	p.says(1, `there is no such pause`, "resume", "--domain", "x.test")
	p.says(0, `^ended 1 pause of `, "resume", "--site", site)
	p.await("all is sent", func() bool { return p.arrived("far", "A2") == 1 && p.arrived("far", "B1") == 1 })
}

// TestFlushed: a message that waits for its retry is tried now, and no other.
func TestFlushed(t *testing.T) {
	p := pull(t)
	later := sink.Character{Name: "far", Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 1 << 20}}}
	if err := p.out.Change("far", later); err != nil {
		t.Fatal(err)
	}
	p.take("joe@x.test", "A1", "A2")
	p.await("both wait for a retry", func() bool {
		out, _ := p.Run("queue", "list", "--json")
		return strings.Count(out, `"state":"deferred"`) == 2
	})
	if err := p.out.Change("far", sink.Character{Name: "far"}); err != nil {
		t.Fatal(err)
	}
	p.says(0, `^would flush 2 messages `, "queue", "flush", "-n")
	p.says(0, `^flushed 1 message `, "queue", "flush", "A1")
	p.await("one is sent", func() bool { return p.arrived("far", "A1") == 1 })
	p.says(0, `^flushed 1 message `, "queue", "flush", "--domain", "x.test")
	p.await("all is sent", func() bool { return p.arrived("far", "A2") == 1 && p.waiting() == 0 })
}

// TestDeletedAndReturned: a deleted message goes nowhere, a bounced one is told to its sender with the reason, and one that is handed back
// goes to the MTA as it was; none of them comes again after a kill.
func TestDeletedAndReturned(t *testing.T) {
	p := pull(t)
	p.says(0, `^paused `, "pause", "--campaign", "autumn.sender.test")
	p.take("joe@x.test", "A1", "A2", "A3", "A4", "A5")
	p.says(64, `which mail\?`, "queue", "delete")
	p.says(1, `nothing was done: no message that waits matches`, "queue", "delete", "--domain", "z.test")
	p.says(1, `(?s)A9: matches nothing.*deleted 1 message .*1 of 2 ids`, "queue", "delete", "A1", "A9")
	p.says(0, `^deleted 1 message \(1 recipient, `, "queue", "delete", "A2")
	p.says(0, `^bounced 1 message \(1 recipient, `, "queue", "bounce", "--id", "A3", "--reason", "the link was wrong")
	p.says(0, `^handed back 1 message \(`, "queue", "handback", "A4")
	p.await("one waits", func() bool { return p.waiting() == 1 && p.arrived("mta", "A4") == 1 && p.told("the link was wrong") })
	p.again(p.Kill)
	p.says(0, `^ended 1 pause of 1 message `, "resume", "--all")
	p.await("nothing waits", func() bool { return p.waiting() == 0 })
	if far, back := p.arrived("far", "A1", "A2", "A3", "A4", "A5"), p.arrived("mta", "A1", "A2", "A4", "A5"); far != 1 || back != 1 || p.arrived("far", "A5") != 1 {
		t.Errorf("%d sent, %d handed back", far, back)
	}
	p.await("the mail log has a line of each", func() bool {
		log := p.MailLog()
		return strings.Count(log, "status=deferred (deleted by ") == 2 && strings.Count(log, "to=<joe@x.test>") == 5
	})
}

// told reports whether the MTA got a notification with those words for the sender.
func (p *pulled) told(words string) bool {
	for _, d := range p.out.Deliveries() {
		if d.Listener == "mta" && d.From == "" && d.Rcpt == "news@sender.test" && strings.Contains(string(d.Raw), words) {
			return true
		}
	}
	return false
}

// TestDrained: a drain takes nothing, sends what it can, and gives the rest to the MTA; a restart does not end it.
func TestDrained(t *testing.T) {
	p := pull(t)
	p.says(0, `^paused `, "pause", "--domain", "x.test")
	p.take("joe@x.test", "A1", "A2")
	p.says(1, `^millrace: no drain is in force\n$`, "undrain")
	p.says(0, `^would drain 2 messages \(2 recipients, `, "drain", "-n")
	p.says(0, `^draining 2 messages \(`, "drain", "--no-follow", "--wait", "1h")
	if p.offer("B1", "joe@y.test") {
		t.Error("mail is taken")
	}
	p.says(0, `orders   1 pause or hold in force; (?s:.*)no mail is taken: a drain is in force until .*, by .*uid \d+, pid \d+\), with 2 messages left`, "status")
	p.again(p.Kill)
	if p.offer("B2", "joe@y.test") {
		t.Error("mail is taken after a restart")
	}
	p.says(0, `(?s)^draining 2 messages .*\neverything is out: nothing waits, and nothing is taken; "millrace undrain" takes mail again\n$`, "drain", "--wait", "1s")
	if n := p.arrived("mta", "A1", "A2"); n != 2 || p.waiting() != 0 {
		t.Errorf("%d of 2 were handed back, %d wait", n, p.waiting())
	}
	p.says(0, `^the drain is over: mail is taken again\n$`, "undrain")
	p.take("joe@y.test", "B3")
	p.await("it is sent", func() bool { return p.arrived("far", "B3") == 1 })
}

// TestShape: what waits is counted by its site or domain.
func TestShape(t *testing.T) {
	p := pull(t)
	p.says(0, `^paused `, "pause", "--sender", "news@sender.test")
	p.take("joe@x.test", "A1", "A2")
	p.take("joe@y.test", "B1")
	p.says(0, `(?s)^ +T +5 .*\n +TOTAL +3 +3 +0 .*\n +x\.test +2 +2 +0 .*\n +y\.test +1 +1 `, "queue", "shape", "--by", "domain")
	p.says(0, `(?s)"total":2,"ages":\[2,0,0,0,0,0,0,0,0,0\].*"total":1`, "queue", "shape", "--by", "domain", "--json")
	p.says(0, `TOTAL +3 +3 `, "queue", "shape")
	p.says(0, `\n +sender\.test +3 +3 `, "queue", "shape", "--by", "sender")
}

// TestShapeIsQshapes: whoever reads qshape's columns reads ours.
func TestShapeIsQshapes(t *testing.T) {
	if _, err := exec.LookPath("qshape"); err != nil && os.Getenv("CI") == "" {
		t.Skip("Postfix's qshape is not installed")
	}
	theirs, err := exec.Command("qshape", t.TempDir()).CombinedOutput()
	if err != nil {
		t.Fatalf("qshape: %v\n%s", err, theirs)
	}
	ours := pull(t).says(0, `TOTAL`, "queue", "shape")
	if a, b := strings.Fields(ours), strings.Fields(string(theirs)); len(b) != 23 || !slices.Equal(a, b) {
		t.Errorf("of an empty queue we show\n%s\nand qshape shows\n%s", ours, theirs)
	}
}
