package daemon

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestSyslogSendsOneDatagramPerLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	ln, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s, err := dialSyslog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in := "postfix/smtp[1]: A: to=<a@x>\npostfix/qmgr[1]: A: removed\n"
	if n, err := s.Write([]byte(in)); n != len(in) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	for _, want := range []string{
		`^<22>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d postfix/smtp\[1\]: A: to=<a@x>$`,
		`^<22>.{15} postfix/qmgr\[1\]: A: removed$`,
	} {
		buf := make([]byte, 500)
		n, err := ln.Read(buf)
		if err != nil || !regexp.MustCompile(want).Match(buf[:n]) {
			t.Errorf("got %q, %v; want %s", buf[:n], err, want)
		}
	}
}

func TestSyslogNeedsADaemon(t *testing.T) {
	if _, err := dialSyslog(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error without a syslog daemon")
	}
}

func TestSyslogDaemonIsRestarted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	ln, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dialSyslog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ln.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if ln, err = net.ListenPacket("unixgram", path); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := s.Write([]byte("a: two\n")); err != nil {
		t.Error(err)
	}
}
