package route

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the UDP payload we announce (RFC 6891; the size that passes
// without fragments nearly everywhere).
const udpSize = 1232

// patience says how long questions may take.
type patience struct {
	total time.Duration // all tries together
	try   time.Duration // one try at one server
	tries int           // each at the next server
	first int           // how many servers, from the favourite on, the first try passes over
}

// client asks name servers. It is the exchanger of the real world.
type client struct {
	servers []netip.AddrPort
	favour  atomic.Uint32 // index of the server that is asked first
	misses  atomic.Uint32 // tries in a row that the favourite left unanswered
	buffers sync.Pool     // *[]byte, for replies
}

func newClient(servers []netip.AddrPort) *client {
	return &client{
		servers: servers,
		buffers: sync.Pool{New: func() any { b := make([]byte, dns.MaxMsgSize); return &b }},
	}
}

// exchange asks all questions at once and returns their answers, in order. It runs
// on the worker's goroutine. It returns when every question has its answer, when
// patience is at its end or when ctx is.
func (c *client) exchange(ctx context.Context, qs []question, p patience) []answer {
	b := newBatch(qs)
	end := time.Now().Add(p.total)
	for i := range p.tries {
		left := time.Until(end)
		if ctx.Err() != nil || b.unsettled() == 0 || left <= 0 {
			break
		}
		n := (int(c.favour.Load()) + p.first + i) % len(c.servers)
		b.begin(min(p.try, left))
		c.udp(ctx, b, c.servers[n])
		c.tcp(ctx, b, c.servers[n])
		c.judge(n, b.heard)
	}
	return b.answers
}

// judge remembers whether a server is there. After three misses of the
// favourite the next one is asked first, so that a dead first line in
// resolv.conf does not cost every name a timeout.
func (c *client) judge(n int, heard bool) {
	if n != int(c.favour.Load()) {
		return
	}
	if heard {
		c.misses.Store(0)
		return
	}
	if c.misses.Add(1) >= 3 {
		c.misses.Store(0)
		c.favour.Store(uint32((n + 1) % len(c.servers)))
	}
}

// udp makes one try over UDP. A fresh socket per try has a fresh port, which a
// forger has to guess besides the id (RFC 5452).
func (c *client) udp(ctx context.Context, b *batch, server netip.AddrPort) {
	conn, err := b.dial(ctx, "udp", server)
	if err != nil {
		b.give(err)
		return
	}
	defer conn.hangUp()
	for i := range b.state {
		if b.state[i] == asking {
			_, _ = conn.Write(b.packed(i, false)) // a lost write is a lost packet
		}
	}
	buf := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buf)
	for b.count(asking) > 0 {
		n, err := conn.Read(*buf)
		if err != nil {
			b.give(err)
			return
		}
		b.receive((*buf)[:n])
	}
}

// tcp asks the questions whose replies came truncated again, over one connection
// (RFC 7766 §5). An error leaves them to the next try.
func (c *client) tcp(ctx context.Context, b *batch, server netip.AddrPort) {
	if b.count(cut) == 0 {
		return
	}
	conn, err := b.dial(ctx, "tcp", server)
	if err != nil {
		return
	}
	defer conn.hangUp()
	buf := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buf)
	for i := range b.state {
		if b.state[i] == cut {
			b.state[i] = asking
			if !b.overTCP(conn, i, *buf) {
				return
			}
		}
	}
}
