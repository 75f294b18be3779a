package filter

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestParseListen(t *testing.T) {
	for _, tt := range []struct{ in, network, address string }{
		{"inet:127.0.0.1:8895", "tcp", "127.0.0.1:8895"},
		{"inet:localhost:8895", "tcp", "localhost:8895"},
		{"inet6:[::1]:8895", "tcp6", "[::1]:8895"},
		{"unix:/run/millrace/milter.sock", "unix", "/run/millrace/milter.sock"},
		{"local:/run/m", "unix", "/run/m"},
	} {
		network, address, err := ParseListen(tt.in)
		if err != nil || network != tt.network || address != tt.address {
			t.Errorf("%q: %q %q %v", tt.in, network, address, err)
		}
	}
	for _, in := range []string{"", "8895", "127.0.0.1:8895", "inet:8895", "inet::8895", "inet:localhost:", "unix:relative", "unix:", "udp:1.2.3.4:5"} {
		if _, _, err := ParseListen(in); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestListenOnUnixSocket(t *testing.T) {
	c := DefaultAccess()
	path := filepath.Join(t.TempDir(), "m.sock")
	ln, err := c.Bind("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := c.Bind("unix:" + path); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("a socket in use was taken over: %v", err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close() // as a process that was killed leaves it
	ln, err = c.Bind("unix:" + path)
	if err != nil {
		t.Fatalf("a stale socket was not removed: %v", err)
	}
	ln.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Bind("unix:" + path); err == nil {
		t.Error("a file was taken over")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("a file was removed")
	}
}

// The socket's group and mode decide who may connect: an MTA runs as another user.
func TestSocketGroupAndMode(t *testing.T) {
	gid := 12345
	if os.Geteuid() != 0 { // an unprivileged user may give a file only to a group of his own
		groups, err := os.Getgroups()
		if (err != nil || len(groups) == 0) && os.Getenv("CI") != "" {
			t.Fatalf("groups of this user: %d, %v", len(groups), err)
		}
		if err != nil || len(groups) == 0 {
			t.Skip("this user has no group to give the socket to")
		}
		gid = groups[len(groups)-1]
	}
	c := DefaultAccess()
	c.SocketGroup, c.SocketMode = strconv.Itoa(gid), "0662"
	path := filepath.Join(t.TempDir(), "m.sock")
	ln, err := c.Bind("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; got != uint32(gid) || info.Mode().Perm() != 0o662 {
		t.Errorf("group %d, mode %v", got, info.Mode())
	}
	c.SocketGroup = "no-such-group"
	if _, err := c.Bind("unix:" + path + "2"); err == nil || !strings.Contains(err.Error(), "socket_group") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path + "2"); err == nil {
		t.Error("a socket that its MTA cannot use was left behind")
	}
}

func TestListenOnPort(t *testing.T) {
	c := DefaultAccess()
	ln, err := c.Bind("inet:127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := c.Bind("inet:nowhere"); err == nil {
		t.Error("no error")
	}
}
