package smtpd

import (
	"bufio"
	"net"
	"sync"
	"testing"
)

// pipes is a listener whose connections have no buffer: what the client writes at once the door reads at once, and nothing with it.
type pipes struct {
	fresh chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.fresh:
		return nc, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// pipe connects without a network.
func (r *rig) pipe() *client {
	r.t.Helper()
	p := &pipes{fresh: make(chan net.Conn), done: make(chan struct{})}
	served := make(chan struct{})
	go func() { // ends with the door, or with this test
		defer close(served)
		r.door.Serve(p, r.role) //nolint:errcheck // it says who has closed the listener
	}()
	near, far := net.Pipe()
	r.t.Cleanup(func() { near.Close(); p.Close(); <-served })
	p.fresh <- far
	c := &client{t: r.t, nc: near, in: bufio.NewReader(near)}
	c.expect("220 mx.example.org ESMTP")
	return c
}

func TestPipe(t *testing.T) {
	c := start(t, nil).pipe()
	c.say("EHLO app.example.com", "250-")
	c.say("QUIT", "221 ")
}
