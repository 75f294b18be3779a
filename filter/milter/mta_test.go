package milter

import (
	"errors"
	"io"
	"net"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/sink"
)

// TestPostfixInItsChroot: a real Postfix finds the door's unix socket from its chroot and outside, keeps to the terms, and has
// its answers: newsletters are taken, letters go to the receiver. With drip it waits at RCPT, without it only behind the header.
func TestPostfixInItsChroot(t *testing.T) {
	mta.Require(t, mta.PostfixPart)
	for _, drips := range []bool{true, false} {
		far, remote := receiver(t)
		chrooted, err := process.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		p, err := mta.StartPostfix(dir, mta.PostfixConfig{
			Relay: remote, Milters: []string{"unix:millrace/milter.sock"}, Master: []string{chrooted + " inet n - y - - smtpd"},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Stop() })
		next := strings.Replace(remote, "127.0.0.1", "[127.0.0.1]", 1)
		r := start(t, func(s *setup) { s.config.Drip, s.filter.NextHops = drips, []string{next} })
		go r.door.Serve(socketOf(t, filepath.Join(dir, "queue", "millrace"))) // ends with Stop
		for i, addr := range []string{p.Addr, chrooted} {
			taken, came := len(r.taken.all()), far.Count()
			report, err := load.Run(t.Context(), load.Config{Addr: addr, Messages: 50, Conns: 2, Plain: 0.5, MinSize: 70_000, Prefix: strconv.Itoa(i) + "."})
			if err != nil || report.Acked() != 50 {
				t.Fatalf("%s: %d of 50, %v", addr, report.Acked(), err)
			}
			if n := len(r.taken.all()) - taken; n != 25 {
				t.Errorf("%d newsletters of 25 taken by way of listener %d", n, i)
			}
			await(t, func() bool { return far.Count() == came+25 })
		}
		if s := r.intake.Status(); s.BadConnections != 0 || s.Panics != 0 {
			t.Errorf("%+v: %s", s, r.log)
		}
	}
}

// TestSendmailKeepsToTheTerms: a real Sendmail that is not answered at MAIL and RCPT goes on with the message, and with the next one,
// also after a RSET of which it does not tell.
func TestSendmailKeepsToTheTerms(t *testing.T) {
	mta.Require(t, mta.SendmailPart)
	far, remote := receiver(t)
	r := start(t, func(s *setup) { s.config.Drip, s.filter.NextHops = false, []string{"[127.0.0.1]"} })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go r.door.Serve(ln) // ends with Stop
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	m, err := mta.StartSendmail(t.TempDir(), mta.SendmailConfig{Relay: remote, Milters: []string{"inet:" + port + "@127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Stop() })
	c, err := smtp.Dial(m.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(c.Mail("gone@sender.test"), c.Rcpt("gone@far.test"), c.Reset()); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"List-Id: <l.sender.test>\r\n", "", "List-Id: <l.sender.test>\r\n"} {
		header := "From: <news@sender.test>\r\nDate: Tue, 4 Mar 2025 05:06:07 +0100\r\nMessage-ID: <1@sender.test>\r\n" + list
		if err := deliver(c, header+"\r\nHello.\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool { return far.Count() == 1 })
	all := r.taken.all()
	if len(all) != 2 || r.intake.Status().BadConnections != 0 {
		t.Fatalf("%d taken of 2; %+v: %s", len(all), r.intake.Status(), r.log)
	}
	for _, got := range all {
		if got.RcptCount() != 1 || got.Rcpt(0).Addr != "a@far.test" {
			t.Errorf("%+v", got.Slip.Rcpts)
		}
	}
}

// deliver hands a message in.
func deliver(c *smtp.Client, text string) error {
	if err := errors.Join(c.Mail("news@sender.test"), c.Rcpt("a@far.test")); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return errors.Join(err, w.Close())
}

// receiver is a sink that gets all mail of an MTA.
func receiver(t *testing.T) (far *sink.Sink, addr string) {
	t.Helper()
	far, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	remote, err := far.Listen("127.0.0.1:0", sink.Character{Name: "remote"})
	if err != nil {
		t.Fatal(err)
	}
	return far, remote.String()
}

// socketOf listens as contrib/postfix has it: only Postfix's group may enter.
func socketOf(t *testing.T, dir string) net.Listener {
	t.Helper()
	if out, err := exec.Command("install", "-d", "-g", "postfix", "-m", "750", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	access := filter.Access{SocketMode: "0660", SocketGroup: "postfix"}
	ln, err := access.Bind("unix:" + filepath.Join(dir, "milter.sock"))
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// await waits until something holds.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in 20 s")
		}
	}
}
