package daemon

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
)

func TestNames(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for _, test := range []struct {
		spec string
		at   net.Addr
		want bool
	}{
		{"inet:127.0.0.1:8895", tcp("127.0.0.1:8895"), true},
		{"inet:127.0.0.1:8895", tcp("127.0.0.1:8896"), false},
		{"inet:127.0.0.1:8895", tcp("127.0.0.2:8895"), false},
		{"inet:127.0.0.1:8895", tcp("0.0.0.0:8895"), false}, // it is open to more hosts than the file says
		{"inet:127.0.0.1:smtp", tcp("127.0.0.1:25"), true},
		{"inet:localhost:8895", tcp("127.0.0.1:8895"), true},
		{"inet:0.0.0.0:8895", tcp("[::]:8895"), true}, // as ListenStream=8895 gives it
		{"inet6:[::1]:8895", tcp("[::1]:8895"), true},
		{"inet6:[::1]:8895", tcp("127.0.0.1:8895"), false},
		{"inet:no.such.host.invalid:8895", tcp("127.0.0.1:8895"), false},
		{"unix:/run/m.sock", &net.UnixAddr{Name: "/run/m.sock"}, true},
		{"local:/run//m.sock", &net.UnixAddr{Name: "/run/m.sock"}, true},
		{"unix:/run/m.sock", &net.UnixAddr{Name: "/run/n.sock"}, false},
		{"unix:/run/m.sock", tcp("127.0.0.1:8895"), false},
		{"inet:127.0.0.1:8895", &net.UnixAddr{Name: "127.0.0.1:8895"}, false},
		{"nonsense", tcp("127.0.0.1:8895"), false},
	} {
		if got := names(test.spec, test.at); got != test.want {
			t.Errorf("%s names %s: %v", test.spec, test.at, got)
		}
	}
}

// socketOf gives the descriptor of a listener as systemd would: the process has no other.
func socketOf(t *testing.T, network, address string) (givenListener, net.Addr) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	ln.Close()
	return givenListener{file: f, systemd: true}, ln.Addr()
}

// TestSocketsOfSystemd: a given socket is served, an address without one is bound, and a unix socket of systemd is there afterwards.
func TestSocketsOfSystemd(t *testing.T) {
	dir := t.TempDir()
	given, at := socketOf(t, "tcp", "127.0.0.1:0")
	control, _ := socketOf(t, "unix", filepath.Join(dir, "c.sock"))
	cfg, socket := configured(t, dir, at, "")
	cfg.Milter.Listen = append(cfg.Milter.Listen, "inet:"+at.String())
	before, err := os.Lstat(cfg.Control.Socket)
	if err != nil {
		t.Fatal(err)
	}
	m := Machine{Given: &Given{listeners: []givenListener{given, control}}}
	s, err := m.withDefaults().openSockets(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	for network, address := range map[string]string{"tcp": at.String(), "unix": socket} {
		nc, err := net.Dial(network, address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		nc.Close()
	}
	if len(s.milter) != 2 || s.milter[1].Addr().String() != at.String() || s.control == nil {
		t.Errorf("%d listeners", len(s.milter))
	}
	s.closeAll()
	after, err := os.Lstat(cfg.Control.Socket)
	if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
		t.Errorf("the socket of systemd: %v %v", after, err)
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket that the daemon has made is still there")
	}
}

// TestSocketWithoutKey: connections would wait for ever on a socket that nobody serves.
func TestSocketWithoutKey(t *testing.T) {
	dir := t.TempDir()
	given, at := socketOf(t, "tcp", "127.0.0.1:0")
	cfg, socket := configured(t, dir, at, "")
	m := Machine{Given: &Given{listeners: []givenListener{given}}}
	_, err := m.withDefaults().openSockets(cfg, hclog.NewNullLogger())
	if _, is := err.(config.Errors); !is {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{cfg.File, "inet:" + at.String(), "milter.listen unix:" + socket, "control.socket unix:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not name %s", err, want)
		}
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("a start that failed leaves a socket behind")
	}
	m.Given.Close()
}

// TestSocketThatDoesNotListen: a unit with the wrong kind of socket gets a text that says so.
func TestSocketThatDoesNotListen(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	f, err := udp.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ := configured(t, t.TempDir(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25}, "")
	m := Machine{Given: &Given{listeners: []givenListener{{file: f, systemd: true}}}}
	if _, err := m.withDefaults().openSockets(cfg, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "ListenStream=") {
		t.Errorf("%v", err)
	}
	m.Given.Close()
}
