package smtp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire is one end of a connection in memory. Unlike net.Pipe it has buffers, as
// a socket has, so that a test can tell a write from a read; and unlike a socket
// it can stand in a synctest bubble.
type wire struct {
	in, out *half

	mu       sync.Mutex
	readEnd  time.Time
	writeEnd time.Time
}

// half is one direction: at most size bytes wait in it.
type half struct {
	size int

	mu     sync.Mutex
	buf    []byte
	closed bool
	writes []int         // the length of every write
	wake   chan struct{} // closed and replaced at every change
}

func newHalf(size int) *half { return &half{size: size, wake: make(chan struct{})} }

// newWire returns both ends of a connection with size bytes of buffer each way.
func newWire(size int) (client, server *wire) {
	a, b := newHalf(size), newHalf(size)
	return &wire{in: a, out: b}, &wire{in: b, out: a}
}

func (h *half) changed() {
	close(h.wake)
	h.wake = make(chan struct{})
}

func (h *half) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		h.changed()
	}
}

// wait blocks until h changes or end has come.
func wait(wake <-chan struct{}, end time.Time) error {
	if end.IsZero() {
		<-wake
		return nil
	}
	t := time.NewTimer(time.Until(end))
	defer t.Stop()
	select {
	case <-wake:
		return nil
	case <-t.C:
		return os.ErrDeadlineExceeded
	}
}

func (w *wire) Read(p []byte) (int, error) {
	for {
		w.in.mu.Lock()
		if n := copy(p, w.in.buf); n > 0 {
			w.in.buf = w.in.buf[n:]
			w.in.changed()
			w.in.mu.Unlock()
			return n, nil
		}
		closed, wake := w.in.closed, w.in.wake
		w.in.mu.Unlock()
		if closed {
			return 0, io.EOF
		}
		w.mu.Lock()
		end := w.readEnd
		w.mu.Unlock()
		if err := wait(wake, end); err != nil {
			return 0, err
		}
	}
}

func (w *wire) Write(p []byte) (int, error) {
	w.out.mu.Lock()
	w.out.writes = append(w.out.writes, len(p))
	w.out.mu.Unlock()
	sent := 0
	for {
		w.out.mu.Lock()
		if w.out.closed {
			w.out.mu.Unlock()
			return sent, io.ErrClosedPipe
		}
		if n := min(len(p), w.out.size-len(w.out.buf)); n > 0 {
			w.out.buf = append(w.out.buf, p[:n]...)
			w.out.changed()
			p, sent = p[n:], sent+n
		}
		wake := w.out.wake
		w.out.mu.Unlock()
		if len(p) == 0 {
			return sent, nil
		}
		w.mu.Lock()
		end := w.writeEnd
		w.mu.Unlock()
		if err := wait(wake, end); err != nil {
			return sent, err
		}
	}
}

func (w *wire) Close() error {
	w.in.close()
	w.out.close()
	return nil
}

// written returns the lengths of all writes so far.
func (w *wire) written() []int {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	return append([]int(nil), w.out.writes...)
}

func (w *wire) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (w *wire) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (w *wire) SetDeadline(t time.Time) error {
	_ = w.SetReadDeadline(t)
	return w.SetWriteDeadline(t)
}

func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readEnd = t
	return nil
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeEnd = t
	return nil
}

const wireBuffer = 256 << 10

var testPeer = Addr{Host: "mx.example", AddrPort: netip.MustParseAddrPort("192.0.2.1:25")}

func testConfig() *Config { return &Config{Hostname: "client.example"} }

// serve runs server on one end of a connection and opens a session on the other.
// The server has ended when the test ends.
func serve(t testing.TB, cfg *Config, server func(*peer)) (*Conn, error) {
	t.Helper()
	return serveOver(t, wireBuffer, cfg, server)
}

// serveOver is serve with so many bytes of buffer each way.
func serveOver(t testing.TB, size int, cfg *Config, server func(*peer)) (*Conn, error) {
	t.Helper()
	client, far := newWire(size)
	p := newPeer(far)
	ended := make(chan struct{})
	go func() { // ends when the client closes its end, below
		defer close(ended)
		defer far.Close()
		server(p)
	}()
	t.Cleanup(func() {
		client.Close()
		<-ended
	})
	return NewConn(context.Background(), client, testPeer, cfg)
}

// peer is the server's side of a test.
type peer struct {
	nc net.Conn
	br *bufio.Reader
}

func newPeer(nc net.Conn) *peer { return &peer{nc: nc, br: bufio.NewReader(nc)} }

// line returns the next line without its CRLF; false at the end.
func (p *peer) line() (string, bool) {
	l, err := p.br.ReadString('\n')
	return strings.TrimSuffix(l, "\r\n"), err == nil
}

func (p *peer) say(format string, args ...any) { fmt.Fprintf(p.nc, format+"\r\n", args...) }

// skip reads up to and including the lone dot; false at the end.
func (p *peer) skip() bool {
	for {
		l, ok := p.line()
		if !ok || l == "." {
			return ok
		}
	}
}

// deliver sends txs over c and returns them as they came back.
func deliver(c *Conn, txs ...*Transaction) ([]*Transaction, error) {
	var back []*Transaction
	i := 0
	err := c.Deliver(func() *Transaction {
		if i == len(txs) {
			return nil
		}
		i++
		return txs[i-1]
	}, func(tx *Transaction) { back = append(back, tx) })
	return back, err
}

// message makes a transaction with a body of one line.
func message(rcpts ...string) *Transaction {
	tx := &Transaction{From: "from@a.example", Content: [][]byte{[]byte("Subject: x\r\n\r\nhello\r\n")}}
	for _, r := range rcpts {
		tx.Rcpts = append(tx.Rcpts, Rcpt{Addr: r})
	}
	return tx
}

// outcome describes a result in a few words, for tables: "sent 250", "again",
// "perm 550 RCPT", "temp EHLO", "local 5.3.4", "temp 354 RCPT bystander".
func outcome(r Result) string {
	switch {
	case r.Again:
		return "again"
	case r.Err == nil:
		return fmt.Sprintf("sent %d", r.Reply.Code)
	}
	if r.Bystander {
		return failure(r.Err) + " bystander"
	}
	return failure(r.Err)
}

func failure(e *Error) string {
	if e.Local {
		return "local " + e.Enhanced
	}
	words := []string{"temp"}
	if e.Permanent {
		words[0] = "perm"
	}
	if e.Code != 0 {
		words = append(words, fmt.Sprint(e.Code))
	}
	return strings.TrimSpace(strings.Join(append(words, e.Command), " "))
}
