package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("192.0.2.2")
)

// pair is a network with two hosts, 10 ms apart, and a connection between them.
func pair(t *testing.T) (n *Network, near, far *Host, a, b net.Conn) {
	n = New()
	near, far = n.Join(5*time.Millisecond, here), n.Join(5*time.Millisecond, there)
	ln, err := far.Listen("tcp", "192.0.2.2:25")
	if err != nil {
		t.Fatal(err)
	}
	if a, err = near.Dial(t.Context(), netip.Addr{}, "tcp", "192.0.2.2:25"); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return n, near, far, a, b
}

// took fails unless f took this long, by the bubble's clock.
func took(t *testing.T, want time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	if f(); time.Since(began) != want {
		t.Errorf("it took %v, not %v", time.Since(began), want)
	}
}

func TestConnection(t *testing.T) {
	buf := make([]byte, 100)
	for _, c := range []struct {
		name string
		is   func(t *testing.T, n *Network, near, far *Host, a, b net.Conn)
	}{
		{"what is written arrives after the latency", func(t *testing.T, n *Network, _, _ *Host, a, b net.Conn) {
			a.Write([]byte("one"))
			a.Write([]byte("two"))
			took(t, 10*time.Millisecond, func() {
				if k, err := b.Read(buf); string(buf[:k]) != "onetwo" || err != nil {
					t.Errorf("%q, %v", buf[:k], err)
				}
			})
		}},
		{"the end comes after the data", func(t *testing.T, n *Network, _, _ *Host, a, b net.Conn) {
			a.Write([]byte("last"))
			a.Close()
			if all, err := io.ReadAll(b); string(all) != "last" || err != nil {
				t.Errorf("%q, %v", all, err)
			}
		}},
		{"a deadline ends a read", func(t *testing.T, n *Network, _, _ *Host, a, b net.Conn) {
			b.SetReadDeadline(time.Now().Add(time.Minute))
			took(t, time.Minute, func() {
				if _, err := b.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
			})
			a.Write([]byte("x"))
			b.SetReadDeadline(time.Time{})
			if k, err := b.Read(buf); k != 1 || err != nil {
				t.Errorf("after the deadline: %d, %v", k, err)
			}
		}},
		{"a writer waits when nobody reads", func(t *testing.T, n *Network, _, _ *Host, a, b net.Conn) {
			a.SetWriteDeadline(time.Now().Add(time.Hour))
			sent := 0
			for {
				k, err := a.Write(make([]byte, 32<<10))
				if sent += k; err != nil {
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error(err)
					}
					break
				}
			}
			if sent != window {
				t.Errorf("%d bytes were written", sent)
			}
		}},
		{"a crash resets the peer, and loses what is on its way", func(t *testing.T, n *Network, near, _ *Host, a, b net.Conn) {
			a.Write([]byte("gone"))
			near.Crash()
			if k, err := b.Read(buf); k != 0 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%q, %v", buf[:k], err)
			}
			if _, err := near.Listen("tcp", "192.0.2.1:1"); err == nil {
				t.Error("a dead host listens")
			}
		}},
		{"what is written on a cut link arrives when it is healed", func(t *testing.T, n *Network, _, _ *Host, a, b net.Conn) {
			n.Cut(there)
			a.Write([]byte("late"))
			time.AfterFunc(time.Hour, func() { n.Heal(there) })
			took(t, time.Hour+10*time.Millisecond, func() { b.Read(buf) })
		}},
		{"a peer that has closed breaks the pipe", func(t *testing.T, n *Network, _, _ *Host, a, b net.Conn) {
			b.Close()
			time.Sleep(time.Second)
			if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Error(err)
			}
		}},
		{"Close wakes a reader", func(t *testing.T, n *Network, _, _ *Host, a, b net.Conn) {
			time.AfterFunc(time.Second, func() { b.Close() })
			if _, err := b.Read(buf); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, near, far, a, b := pair(t)
				defer a.Close()
				defer b.Close()
				c.is(t, n, near, far, a, b)
			})
		})
	}
}

// TestDial: whom nobody answers, and whom the host refuses.
func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		near := n.Join(5*time.Millisecond, here)
		n.Join(5*time.Millisecond, there)
		ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
		defer done()
		took(t, 20*time.Millisecond, func() {
			if _, err := near.Dial(ctx, netip.Addr{}, "tcp", "192.0.2.2:25"); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
			}
		})
		if _, err := near.Dial(ctx, there, "tcp", "192.0.2.2:25"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("from another's address: %v", err)
		}
		n.Cut(there)
		took(t, 30*time.Second-20*time.Millisecond, func() {
			var late net.Error
			if _, err := near.Dial(ctx, netip.Addr{}, "tcp", "192.0.2.2:25"); !errors.As(err, &late) || !late.Timeout() {
				t.Error(err)
			}
		})
	})
}

// TestDatagrams: an answer comes after both ways and its own time; without an answerer the deadline ends the wait.
func TestDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		near := n.Join(5*time.Millisecond, here)
		n.Join(5*time.Millisecond, there)
		n.ListenUDP(netip.AddrPortFrom(there, 53), func(p []byte) ([][]byte, time.Duration) {
			return [][]byte{append([]byte("re: "), p...), []byte("more")}, time.Second
		})
		c, err := near.Dial(t.Context(), netip.Addr{}, "udp", "192.0.2.2:53")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("hello"))
		buf := make([]byte, 100)
		took(t, time.Second+20*time.Millisecond, func() {
			if k, _ := c.Read(buf); string(buf[:k]) != "re: hello" && string(buf[:k]) != "more" { // datagrams may overtake each other
				t.Errorf("%q", buf[:k])
			}
		})
		c.Read(buf)
		c.SetReadDeadline(time.Now().Add(time.Second))
		var late net.Error
		if _, err := c.Read(buf); !errors.As(err, &late) || !late.Timeout() {
			t.Error(err)
		}
	})
}
