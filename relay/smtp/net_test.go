package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
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

// answer is a server in good order: it takes every command and body until QUIT.
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
		case "BDAT":
			var n int
			fmt.Sscanf(l, "BDAT %d LAST", &n)
			b := make([]byte, n)
			if _, err := io.ReadFull(p.br, b); err != nil {
				return
			}
			taken(string(b))
			p.say("250 2.0.0 taken")
		case "STARTTLS", "QUIT":
			return
		default:
			p.say("250 ok")
		}
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
	cfg.Dial = func(ctx context.Context, _ *net.Dialer, n, a string) (net.Conn, error) {
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
				t.Skipf("this system cannot listen on %s: %v", tt.listen, err)
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

// A source address that this host does not have is an error of ours: the caller can
// tell it from an error of the peer.
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
	if err == nil || !back[0].Results[0].Unknown {
		t.Errorf("%v, unknown %v", err, back[0].Results[0].Unknown)
	}
}

// TestLeaveWaitsForTheReceiver to end the session too, but not for ever.
func TestLeaveWaitsForTheReceiver(t *testing.T) {
	for name, end := range map[string]func(p *peer, ended *atomic.Bool){
		"it answers and closes": func(p *peer, ended *atomic.Bool) {
			time.Sleep(50 * time.Millisecond)
			p.say("221 bye")
			ended.Store(true)
		},
		"it closes": func(p *peer, ended *atomic.Bool) {
			time.Sleep(50 * time.Millisecond)
			ended.Store(true)
		},
		"it answers and stays": func(p *peer, ended *atomic.Bool) {
			ended.Store(true)
			p.say("221 bye")
			silence(p)
		},
		"it says nothing": func(p *peer, ended *atomic.Bool) {
			ended.Store(true)
			silence(p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var ended atomic.Bool
			to := listen(t, func(p *peer) {
				p.say("220 mx.example")
				p.line()
				p.say("250 mx.example")
				if l, _ := p.line(); l == "QUIT" {
					end(p, &ended)
				}
			})
			c := dial(t, to, testConfig())
			c.Leave(time.Second)
			c.Leave(time.Hour)
			if !ended.Load() || c.Alive() {
				t.Errorf("the receiver has ended the session: %t, alive: %t", ended.Load(), c.Alive())
			}
		})
	}
}
