package smtp

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

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

// A refusal in the middle of the body is read although the body is not written to
// its end. The peer may stop reading, close, or go on. If nobody looked for the
// refusal, a peer that stops reading would cost the time for a block: minutes.
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
			if got := outcome(big.Results[0]); got != "perm 552 end of data" || big.Results[0].Unknown {
				t.Errorf("got %q, unknown %v", got, big.Results[0].Unknown)
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
	n, err := c.writev([][]byte{[]byte("begin\r\n"), make([]byte, largeBody)}, time.Now().Add(time.Minute), false)
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
	if got := outcome(big.Results[0]); err == nil || got != "temp message body" || big.Results[0].Unknown {
		t.Errorf("%v, %q, unknown %v", err, got, big.Results[0].Unknown)
	}
	if got := outcome(next.Results[0]); got != "again" {
		t.Errorf("the message behind it: %q", got)
	}
}
