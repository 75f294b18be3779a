package scenario

import (
	"net"
	"net/textproto"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/test/mta"
)

// dialogue is an SMTP client that measures how long it waits for the answers of one message.
type dialogue struct {
	t *testing.T
	c *textproto.Conn
}

func dialogueWith(t *testing.T, addr string) *dialogue {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(6 * time.Minute))
	return &dialogue{t, textproto.NewConn(nc)}
}

// say sends each line and reads an answer of class code to it. An empty line only reads. It may run on any goroutine.
func (d *dialogue) say(code int, lines ...string) time.Duration {
	begin := time.Now()
	for _, line := range lines {
		if line != "" {
			if err := d.c.PrintfLine("%s", line); err != nil {
				d.t.Error(err)
			}
		}
		if _, text, err := d.c.ReadResponse(code); err != nil {
			d.t.Errorf("%.40s: %s, %v", line, text, err)
		}
	}
	return time.Since(begin)
}

func (d *dialogue) envelope(rcpt string) time.Duration {
	return d.say(2, "MAIL FROM:<news@sender.test>", "RCPT TO:<"+rcpt+">") + d.say(3, "DATA")
}

func (d *dialogue) content(id string) time.Duration {
	return d.say(2, strings.ReplaceAll(bulkMessage(id), "\r\n.", "\r\n..")+".")
}

// wholeDialogue hands in one message and returns how long the answers took.
func wholeDialogue(t *testing.T, addr, id string) time.Duration {
	t.Helper()
	d := dialogueWith(t, addr)
	return d.say(2, "", "EHLO "+id+".test") + d.envelope(id+"@far.test") + d.content(id)
}

// TestHungMillrace: a daemon that hangs (SIGSTOP) costs a client at most what contrib/postfix says: command_timeout, or
// content_timeout for a message that is past DATA, of which the test makes 20 seconds. The bounds are far from both, and below
// Postfix's defaults. All mail arrives, by Postfix, and a session that has waited once does not wait again.
func TestHungMillrace(t *testing.T) {
	s := beside(t, Options{})
	if err := s.Postfix.Shell(`milter=$(postconf -h millrace_milter); postconf -e "millrace_milter = ${milter%content_timeout=60s*}content_timeout=20s${milter##*content_timeout=60s}"; postfix reload`); err != nil {
		t.Fatal(err)
	}
	early, amid := dialogueWith(t, s.Addr()), dialogueWith(t, s.Addr())
	early.say(2, "", "EHLO early.test")
	amid.say(2, "", "EHLO amid.test")
	amid.envelope("amid@far.test")
	s.Millrace.Signal(syscall.SIGSTOP)
	defer s.Millrace.Signal(syscall.SIGCONT)

	var wg sync.WaitGroup
	check := func(what string, bound time.Duration, wait func() time.Duration) {
		if got := wait(); got > bound {
			t.Errorf("%s waited %s", what, got.Round(time.Second))
		} else {
			t.Logf("%s waited %s", what, got.Round(time.Second))
		}
	}
	wg.Go(func() { // ends with the message
		check("the message past DATA", 50*time.Second, func() time.Duration { return amid.content("amid") })
	})
	wg.Go(func() { // ends with its second message
		check("the open session", 25*time.Second, func() time.Duration { return early.envelope("early@far.test") + early.content("early") })
		check("the open session's second message", 5*time.Second, func() time.Duration { return early.envelope("second@far.test") + early.content("second") })
	})
	check("the new session", 25*time.Second, func() time.Duration { return wholeDialogue(t, s.Addr(), "late") })
	wg.Wait()
	expect(t, s, map[string]int{"remote amid@far.test": 1, "remote early@far.test": 1, "remote second@far.test": 1, "remote late@far.test": 1})

	s.Millrace.Signal(syscall.SIGCONT)
	submit(t, s.Addr(), "<news@sender.test>", []string{"<again@far.test>"}, []int{250}, bulkMessage("again"))
	eventually(t, "Millrace takes mail again", func() bool {
		for d := range s.Sink.All() {
			if d.Rcpt == "again@far.test" && d.Listener == "bulk" {
				return true
			}
		}
		return false
	})
}

// TestHungBesideSendmail: beside Sendmail a daemon that hangs costs each session what T= of contrib/sendmail says, once.
func TestHungBesideSendmail(t *testing.T) {
	mta.Require(t, mta.SendmailPart)
	s := newScene(t, Options{})
	if err := s.StartSendmail(); err != nil {
		t.Fatal(err)
	}
	s.Millrace.Signal(syscall.SIGSTOP)
	defer s.Millrace.Signal(syscall.SIGCONT)
	if wait := wholeDialogue(t, s.Addr(), "late"); wait > 45*time.Second {
		t.Errorf("waited %s", wait.Round(time.Second))
	}
	expect(t, s, map[string]int{"remote late@far.test": 1})
}
