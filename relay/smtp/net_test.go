package smtp

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// listen runs server for every connection to a loopback port, until the test ends.
func listen(t testing.TB, server func(*peer)) Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { // ends with the listener
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
			all.Go(func() { // ends with its connection
				defer nc.Close()
				server(newPeer(nc))
			})
		}
	})
	t.Cleanup(all.Wait) // runs last: after the listener and the connections are closed
	t.Cleanup(func() { l.Close() })
	return Addr{Host: "localhost", AddrPort: netip.MustParseAddrPort(l.Addr().String())}
}

func dial(t testing.TB, to Addr, cfg *Config) *Conn {
	t.Helper()
	c, err := Dial(context.Background(), to, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// certificate makes a self-signed one that names nobody and has expired, which
// opportunistic TLS has to take.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return selfSigned(t, key)
}

func selfSigned(t testing.TB, key crypto.Signer) tls.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(-time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// answer is a server in good order: it takes what it is given until QUIT.
func answer(p *peer, ehlo string, taken func(body string)) {
	for {
		l, ok := p.line()
		if !ok {
			return
		}
		switch word, _, _ := strings.Cut(l, " "); word {
		case "EHLO":
			p.say("%s", ehlo)
		case "DATA":
			p.say("354 go")
			var b strings.Builder
			for l, ok := p.line(); l != "."; l, ok = p.line() {
				if !ok {
					return
				}
				b.WriteString(l + "\r\n")
			}
			taken(b.String())
			p.say("250 2.0.0 taken")
		case "STARTTLS", "QUIT":
			return
		default:
			p.say("250 ok")
		}
	}
}

func TestTLS(t *testing.T) {
	cert := certificate(t)
	for _, max := range []uint16{tls.VersionTLS10, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(max), func(t *testing.T) {
			bodies := make(chan string, 2)
			to := listen(t, func(p *peer) {
				p.say("220 mx.example")
				answer(p, "250-mx.example\r\n250-STARTTLS\r\n250 SIZE 1", nil)
				p.say("220 go")
				s := tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: max})
				answer(newPeer(s), "250-mx.example\r\n250 PIPELINING", func(b string) { bodies <- b })
			})
			c := dial(t, to, testConfig())
			if x := c.Extensions(); x.Size != -1 || x.StartTLS || !x.Pipelining {
				t.Errorf("extensions were not learned anew: %+v", x)
			}
			big := message("b@b.example")
			big.Content = [][]byte{[]byte(strings.Repeat("0123456789\r\n.123456789\r\n", 10000))}
			if _, err := deliver(c, big, message("b@b.example")); err != nil {
				t.Fatal(err)
			}
			if got := <-bodies; strings.ReplaceAll(got, "..", ".") != string(big.Content[0]) {
				t.Error("the large body was altered")
			}
			<-bodies
			if s, ok := c.TLS(); !ok || s.Version != max || c.TLSBroken() {
				t.Errorf("TLS: %v, broken %v", ok, c.TLSBroken())
			}
			if !c.Alive() {
				t.Error("not alive")
			}
			c.Quit()
		})
	}
}

// When the handshake fails the same address is tried again, in clear.
func TestTLSBroken(t *testing.T) {
	cert := certificate(t)
	faults := map[string]func(*peer){
		"alert":      func(p *peer) { _, _ = p.nc.Write([]byte("\x15\x03\x01\x00\x02\x02\x28")) },
		"garbage":    func(p *peer) { p.say("HTTP/1.0 400 what is this") },
		"disconnect": func(p *peer) {},
		"lost after the handshake": func(p *peer) {
			s := tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}})
			_ = s.Handshake()
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			sessions := 0
			to := listen(t, func(p *peer) {
				mu.Lock()
				sessions++
				mu.Unlock()
				p.say("220 mx.example")
				answer(p, "250-mx.example\r\n250 STARTTLS", func(string) {})
				p.say("220 go")
				fault(p)
			})
			c := dial(t, to, testConfig())
			if _, ok := c.TLS(); ok || !c.TLSBroken() {
				t.Errorf("TLS %v, broken %v", ok, c.TLSBroken())
			}
			if _, err := deliver(c, message("b@b.example")); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if sessions != 2 {
				t.Errorf("%d sessions", sessions)
			}
		})
	}
}

// A server so old that it has only RSA key exchange still gets more than clear text.
func TestTLSOldSuites(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert := selfSigned(t, key)
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250-mx.example\r\n250 STARTTLS", nil)
		p.say("220 go")
		s := tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}})
		answer(newPeer(s), "250 mx.example", nil)
	})
	c := dial(t, to, testConfig())
	if s, ok := c.TLS(); !ok || s.CipherSuite != tls.TLS_RSA_WITH_AES_128_CBC_SHA {
		t.Errorf("TLS %v, suite %s", ok, tls.CipherSuiteName(s.CipherSuite))
	}
}

// The peer's refusal of its own offer is remembered as well; the session stays.
func TestTLSRefused(t *testing.T) {
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250-mx.example\r\n250 STARTTLS", nil)
		p.say("454 4.7.0 not now")
		answer(p, "", func(string) {})
	})
	c := dial(t, to, testConfig())
	if _, ok := c.TLS(); ok || !c.TLSBroken() {
		t.Errorf("TLS %v, broken %v", ok, c.TLSBroken())
	}
	if _, err := deliver(c, message("b@b.example")); err != nil {
		t.Error(err)
	}
}

// The caller's own settings hold, and its config is not changed.
func TestTLSConfig(t *testing.T) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	cfg := testConfig()
	cfg.TLSConfig = base
	got := session{cfg: cfg}.tlsConfig("mx.example.")
	if got.MinVersion != tls.VersionTLS12 || got.ClientSessionCache != base.ClientSessionCache || got.ServerName != "mx.example" || !got.InsecureSkipVerify {
		t.Errorf("got %+v", got)
	}
	if base.ServerName != "" || base.InsecureSkipVerify || base.CipherSuites != nil {
		t.Error("the base was changed")
	}
	if got := serverName("192.0.2.1"); got != "" {
		t.Errorf("SNI %q", got)
	}
}

func TestTLSNone(t *testing.T) {
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250-mx.example\r\n250 STARTTLS", nil)
	})
	cfg := testConfig()
	cfg.TLS = TLSNone
	c := dial(t, to, cfg)
	if _, ok := c.TLS(); ok || c.TLSBroken() {
		t.Error("TLS was tried")
	}
}

func TestDialRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := Addr{Host: "localhost", AddrPort: netip.MustParseAddrPort(l.Addr().String())}
	l.Close()
	_, err = Dial(context.Background(), to, testConfig())
	var e *Error
	if !errors.As(err, &e) || e.Command != AtConnect || e.Permanent || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

func TestDialCanceled(t *testing.T) {
	accepted := make(chan struct{})
	to := listen(t, func(p *peer) {
		close(accepted)
		silence(p)
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends when the server has seen the connection
		<-accepted
		cancel()
	}()
	if _, err := Dial(ctx, to, testConfig()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDialHook(t *testing.T) {
	cfg := testConfig()
	var network, addr string
	cfg.Dial = func(ctx context.Context, n, a string) (net.Conn, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		network, addr = n, a
		return nil, io.ErrUnexpectedEOF
	}
	_, err := Dial(context.Background(), testPeer, cfg)
	if !errors.Is(err, io.ErrUnexpectedEOF) || network != "tcp" || addr != "192.0.2.1:25" {
		t.Errorf("%v, dialled %s %s", err, network, addr)
	}
}

// A connection comes from the source address of its family, and a family that
// has none is not touched by the other's.
func TestLocalAddr(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::1")
	for _, tt := range []struct {
		name, listen   string
		local4, local6 netip.Addr
		want           string
	}{
		{"IPv4", "127.0.0.1:0", v4, netip.Addr{}, "127.0.0.2"},
		{"IPv4 of both", "127.0.0.1:0", v4, v6, "127.0.0.2"},
		{"IPv4 without", "127.0.0.1:0", netip.Addr{}, v6, "127.0.0.1"},
		{"IPv6 of both", "[::1]:0", v4, v6, "::1"},
		{"IPv6 without", "[::1]:0", v4, netip.Addr{}, "::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", tt.listen)
			if err != nil {
				t.Skip(err)
			}
			defer ln.Close()
			from := make(chan string, 1)
			go func() { // ends with its one connection
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				defer nc.Close()
				from <- nc.RemoteAddr().(*net.TCPAddr).IP.String()
				_, _ = io.WriteString(nc, "220 mx.example\r\n")
				_, _ = nc.Read(make([]byte, 100))
				_, _ = io.WriteString(nc, "250 mx.example\r\n")
				_, _ = io.Copy(io.Discard, nc)
			}()
			cfg := testConfig()
			cfg.Local4, cfg.Local6 = tt.local4, tt.local6
			to := netip.MustParseAddrPort(ln.Addr().String())
			c, err := Dial(context.Background(), Addr{Host: "mx.example", AddrPort: to}, cfg)
			if err != nil {
				t.Skipf("this system cannot dial from there: %v", err)
			}
			defer c.Close()
			if got := <-from; got != tt.want {
				t.Errorf("dialled from %s, want %s", got, tt.want)
			}
		})
	}
}

// A source address that this host does not have is an error of ours, which the
// caller can tell from one of the peer's.
func TestForeignLocalAddr(t *testing.T) {
	cfg := testConfig()
	cfg.Local4 = netip.MustParseAddr("192.0.2.77")
	to := Addr{Host: "mx.example", AddrPort: netip.MustParseAddrPort("127.0.0.1:9")}
	if _, err := Dial(context.Background(), to, cfg); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("%v, want EADDRNOTAVAIL", err)
	}
}

// An idle connection whose peer says something or closes is seen to be dead
// before anything is sent on it.
func TestAlive(t *testing.T) {
	for name, end := range map[string]func(*peer){
		"closed":      func(p *peer) { p.nc.Close() },
		"reset":       func(p *peer) { _ = p.nc.(*net.TCPConn).SetLinger(0); p.nc.Close() },
		"unsolicited": func(p *peer) { p.say("421 4.4.2 idle too long") },
	} {
		t.Run(name, func(t *testing.T) {
			now := make(chan struct{})
			to := listen(t, func(p *peer) {
				p.say("220 mx.example")
				p.line()
				p.say("250 mx.example")
				<-now
				end(p)
				silence(p)
			})
			c := dial(t, to, testConfig())
			if !c.Alive() {
				t.Fatal("dead at first")
			}
			// An old read deadline must not be taken for a dead peer.
			_ = c.nc.SetReadDeadline(time.Unix(1, 0))
			if !c.Alive() {
				t.Fatal("dead after a deadline")
			}
			close(now)
			for c.Alive() {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

func TestClosed(t *testing.T) {
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250 mx.example", nil)
	})
	c := dial(t, to, testConfig())
	c.Quit()
	c.Quit()
	if c.Alive() {
		t.Error("alive after Quit")
	}
	back, err := deliver(c, message("b@b.example"))
	if !errors.Is(err, ErrClosed) || len(back) != 0 {
		t.Errorf("%v, %d taken", err, len(back))
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// Another goroutine breaks off a delivery with Close.
func TestCloseBreaksOff(t *testing.T) {
	waiting := make(chan struct{})
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250 mx.example", func(string) {
			close(waiting)
			silence(p)
		})
	})
	c := dial(t, to, testConfig())
	go func() { // ends when the server has the body
		<-waiting
		c.Close()
	}()
	back, err := deliver(c, message("b@b.example"))
	if err == nil || !back[0].Unknown {
		t.Errorf("%v, unknown %v", err, back[0].Unknown)
	}
}

const largeBody = 48 << 20 // more than any socket buffer

// early runs a server that answers a large body before it has all of it. over is
// closed when the client has given up.
func early(t *testing.T, tail func(p *peer, over <-chan struct{})) (*Transaction, *Transaction, error) {
	over := make(chan struct{})
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		p.line()
		p.say("250-mx.example\r\n250 PIPELINING")
		for range 3 {
			p.line()
		}
		p.say("250 ok\r\n250 ok\r\n354 go")
		p.line()
		tail(p, over)
	})
	c := dial(t, to, testConfig())
	big := message("b@b.example")
	big.Content = [][]byte{[]byte(strings.Repeat("0123456789\r\n", largeBody/12))}
	next := message("b@b.example")
	_, err := deliver(c, big, next)
	close(over)
	return big, next, err
}

// A refusal in the middle of the body is read although the body is not written
// to its end, whether the peer stops reading, closes, or goes on. Were it not
// looked for, the first would cost the time for a block, which is minutes.
func TestEarlyReply(t *testing.T) {
	for name, tail := range map[string]func(*peer, <-chan struct{}){
		"stops reading": func(p *peer, over <-chan struct{}) {
			time.Sleep(time.Second) // by then the buffers are full and the write is blocked
			p.say("552 5.3.4 too big")
			<-over
		},
		"closes": func(p *peer, _ <-chan struct{}) { p.say("552 5.3.4 too big") },
		"goes on": func(p *peer, _ <-chan struct{}) {
			p.say("552 5.3.4 too big")
			if n, _ := io.Copy(io.Discard, p.br); n > largeBody*3/4 {
				t.Errorf("%d bytes more were sent", n)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			big, next, err := early(t, tail)
			if err == nil {
				t.Error("no error")
			}
			if got := outcome(big.Results[0]); got != "perm 552 end of data" || big.Unknown {
				t.Errorf("got %q, unknown %v", got, big.Unknown)
			}
			if got := outcome(next.Results[0]); got != "again" {
				t.Errorf("the message behind it: %q", got)
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("took %v", d)
			}
		})
	}
}

// A write that does not come to its end looks for a reply from time to time.
func TestBlockedWrite(t *testing.T) {
	over := make(chan struct{})
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		p.line()
		p.say("250 mx.example")
		p.line()
		p.say("552 5.3.4 too big")
		<-over
	})
	c := dial(t, to, testConfig())
	n, err := c.writev([][]byte{[]byte("begin\r\n"), make([]byte, largeBody)}, time.Now().Add(time.Minute))
	close(over)
	if !errors.Is(err, errEarly) || n == 0 || n >= largeBody {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestLostInBody(t *testing.T) {
	big, next, err := early(t, func(p *peer, _ <-chan struct{}) {
		_ = p.nc.(*net.TCPConn).SetLinger(0)
		p.nc.Close()
	})
	if got := outcome(big.Results[0]); err == nil || got != "temp message body" || big.Unknown {
		t.Errorf("%v, %q, unknown %v", err, got, big.Unknown)
	}
	if got := outcome(next.Results[0]); got != "again" {
		t.Errorf("the message behind it: %q", got)
	}
}
