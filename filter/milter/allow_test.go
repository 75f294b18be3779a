package milter

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/standin"
)

func TestListenBeyondLoopbackNeedsAllow(t *testing.T) {
	for _, tt := range []struct {
		listen, allow string
		want          string // how the error begins; "": none
	}{
		{"inet:127.0.0.1:8895", "", ""},
		{"inet:127.1.2.3:8895", "", ""},
		{"inet:localhost:8895", "", ""},
		{"inet6:[::1]:8895", "", ""},
		{"inet6:[::ffff:127.0.0.1]:8895", "", ""},
		{"unix:/run/millrace/milter.sock", "", ""},
		{"inet:0.0.0.0:8895", "", "listen[0]: "},
		{"inet6:[::]:8895", "", "listen[0]: "},
		{"inet:192.0.2.1:8895", "", "listen[0]: "},
		{"inet6:[fe80::1%lo]:8895", "", "listen[0]: "},
		{"inet:mail.example.org:8895", "", "listen[0]: "},
		{"inet:0.0.0.0:8895", "192.0.2.25/32", ""},
		{"inet:0.0.0.0:8895", "192.0.2.25/24", "allow[0]: 192.0.2.25/24 is not a network; write 192.0.2.0/24"},
		{"inet:0.0.0.0:8895", "::ffff:192.0.2.0/120", "allow[0]: ::ffff:192.0.2.0/120 is not a network; write 192.0.2.0/24"},
	} {
		c := DefaultConfig()
		c.Listen = []string{tt.listen}
		if tt.allow != "" {
			c.Allow = []netip.Prefix{netip.MustParsePrefix(tt.allow)}
		}
		err := c.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%s, allow %q: %v, want %q", tt.listen, tt.allow, err, tt.want)
		}
		if strings.HasPrefix(tt.want, "listen") && !strings.Contains(err.Error(), "allow = [") {
			t.Errorf("%s: the error names no repair: %v", tt.listen, err)
		}
	}
}

// elsewhere is a listener whose peers have the address of another host.
type elsewhere struct {
	net.Listener
	peer net.Addr
}

func (e elsewhere) Accept() (net.Conn, error) {
	nc, err := e.Listener.Accept()
	return far{nc, e.peer}, err
}

type far struct {
	net.Conn
	peer net.Addr
}

func (f far) RemoteAddr() net.Addr { return f.peer }

// Only the networks of allow may offer mail from elsewhere; the mail of any other host is not even read.
func TestAllow(t *testing.T) {
	r := start(t, func(s *setup) {
		s.config.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	})
	for _, tt := range []struct {
		peer string
		want bool
	}{
		{"192.0.2.7:40000", true}, {"[::ffff:192.0.2.7]:40000", true}, {"[2001:db8::1]:40000", true}, {"127.0.0.1:40000", true},
		{"[::1]:40000", true}, {"192.0.3.7:40000", false}, {"[2001:db9::1]:40000", false}, {"[fe80::1%eth0]:40000", false},
	} {
		ln := newPipes()
		go r.door.Serve(elsewhere{ln, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.peer))}) // ends with Stop
		nc, err := ln.dial()
		if err != nil {
			t.Fatal(err)
		}
		c, err := standin.New(nc, standin.Options{})
		if (err == nil) != tt.want {
			t.Errorf("%s is served: %v, want %v (%v)", tt.peer, err == nil, tt.want, err)
		}
		if err == nil {
			c.Close()
		}
	}
	if n := r.intake.Status().BadConnections; n != 3 || !strings.Contains(r.log.String(), "milter.allow") {
		t.Errorf("%d connections refused, log %q", n, r.log)
	}
}
