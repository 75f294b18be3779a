package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/process"
)

// TestPostfixUnixSocket: Postfix, which runs as a user of its own, reaches Millrace by a unix socket that belongs to
// Postfix's group, with and without a chroot. Anybody else is kept out.
func TestPostfixUnixSocket(t *testing.T) {
	mta.Require(t, mta.PostfixPart)
	s, err := New(t.TempDir(), binary, Options{})
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
	dir, err := s.mkdir("postfix")
	if err != nil {
		t.Fatal(err)
	}
	chrooted, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	f, err := mta.ReadFragment(filepath.Join(ContribDir, "postfix"))
	if err != nil {
		t.Fatal(err)
	}
	s.Postfix, err = mta.StartPostfix(dir, mta.PostfixConfig{
		Relay: s.Remote, Local: map[string]string{LocalDomain: s.Local}, Master: []string{chrooted + " inet n - y - - smtpd"},
		Fragment: f.Replace("127.0.0.1:10026", s.Millrace.inject),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.closers = append(s.closers, s.Postfix.Stop)
	socket := filepath.Join(dir, "queue", "millrace", "milter.sock")
	makeSocketDir(t, filepath.Dir(socket))
	if err := s.Millrace.Replace(`"unix:`+s.Millrace.MilterSocket()+`"]`, fmt.Sprintf("\"unix:%s\"]\nmilter.socket_group = \"postfix\"", socket)); err != nil {
		t.Fatal(err)
	}
	if err := s.StartMillrace(); err != nil {
		t.Fatal(err)
	}
	submit(t, s.Postfix.Addr, "<news@sender.test>", []string{"<a@far.test>"}, []int{250}, bulkMessage("plain"))
	submit(t, chrooted, "<news@sender.test>", []string{"<b@far.test>"}, []int{250}, bulkMessage("chroot"))
	expect(t, s, map[string]int{"bulk a@far.test": 1, "bulk b@far.test": 1})

	stranger := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-w", socket)
	if err := stranger.Run(); err == nil {
		t.Error("any local user may use the socket")
	}
}

// makeSocketDir makes the directory of the socket as contrib/postfix/README.md says.
func makeSocketDir(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("install", "-d", "-g", "postfix", "-m", "750", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(dir); err != nil || !strings.HasPrefix(info.Mode().String(), "drwxr-x---") {
		t.Fatalf("%v %v", info, err)
	}
}
