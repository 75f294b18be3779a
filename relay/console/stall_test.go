package console

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// oneConn is a listener that has one connection to give.
type oneConn struct {
	conn chan net.Conn
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	if conn, ok := <-l.conn; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { l.once.Do(func() { close(l.conn) }); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// overPipe runs a Server with n messages in a bubble and hands over the far end of its only connection.
func overPipe(t *testing.T, n int, f func(*fakeSource, net.Conn)) { actOverPipe(t, n, &fakeActs{}, f) }

// actOverPipe is overPipe with a lever.
func actOverPipe(t *testing.T, n int, acts Acts, f func(*fakeSource, net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		src := &fakeSource{n: n, ended: make(chan struct{})}
		near, far := net.Pipe()
		ln := &oneConn{conn: make(chan net.Conn, 1)}
		ln.conn <- near
		s := New(src, acts, hclog.NewNullLogger())
		done := make(chan error, 1)
		go func() { done <- s.Run(ln) }() // ends by Stop
		f(src, far)
		far.Close()
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStalledReaderIsDropped(t *testing.T) {
	overPipe(t, 1_000_000, func(src *fakeSource, conn net.Conn) {
		_, _ = io.WriteString(conn, "GET /v1/messages HTTP/1.1\r\nHost: x\r\n\r\n")
		begin := time.Now()
		<-src.ended
		if d := time.Since(begin); d != writeTimeout {
			t.Errorf("the walk was held for %s, want %s", d, writeTimeout)
		}
	})
}

func TestSlowReaderIsServed(t *testing.T) {
	overPipe(t, 10_000, func(src *fakeSource, conn net.Conn) {
		_, _ = io.WriteString(conn, "GET /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		begin, buf := time.Now(), make([]byte, streamBuffer)
		for {
			if _, err := conn.Read(buf); err != nil {
				break
			}
			time.Sleep(writeTimeout / 20)
		}
		<-src.ended
		if src.walked.Load() != 10_000 || time.Since(begin) < 2*writeTimeout {
			t.Errorf("%d messages in %s", src.walked.Load(), time.Since(begin))
		}
	})
}

func TestSilentClientIsDropped(t *testing.T) {
	overPipe(t, 0, func(_ *fakeSource, conn net.Conn) {
		_, _ = io.WriteString(conn, "GET /v1/sta")
		begin := time.Now()
		_, _ = io.ReadAll(conn)
		if d := time.Since(begin); d != readTimeout {
			t.Errorf("held for %s, want %s", d, readTimeout)
		}
	})
}
