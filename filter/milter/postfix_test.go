package milter

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
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
		far, err := sink.New(sink.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { far.Close() })
		remote, err := far.Listen("127.0.0.1:0", sink.Character{Name: "remote"})
		if err != nil {
			t.Fatal(err)
		}
		chrooted, err := process.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		p, err := mta.StartPostfix(dir, mta.PostfixConfig{
			Relay: remote.String(), Milters: []string{"unix:millrace/milter.sock"}, Master: []string{chrooted + " inet n - y - - smtpd"},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Stop() })
		next := "[127.0.0.1]:" + strconv.Itoa(remote.(*net.TCPAddr).Port)
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
