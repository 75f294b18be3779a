package route

import (
	"context"
	"net"
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

// maxTCP bounds the connections for answers that came truncated.
const maxTCP = 16

// dialer is Config.Dial.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// client asks name servers. It is the exchanger of the real world.
type client struct {
	list    atomic.Pointer[serverList]
	dial    dialer
	metre   metre
	tcps    chan struct{} // holds a token for each TCP connection
	buffers sync.Pool     // *[]byte, for replies over TCP
}

// serverList is the name servers, and which of them is asked first.
type serverList struct {
	servers []*server
	favour  atomic.Uint32 // index of the server that is asked first
	misses  atomic.Uint32 // tries in a row that the favourite left unanswered
}

func newClient(servers []netip.AddrPort) *client {
	c := &client{
		dial:    new(net.Dialer).DialContext,
		tcps:    make(chan struct{}, maxTCP),
		buffers: sync.Pool{New: func() any { b := make([]byte, dns.MaxMsgSize); return &b }},
	}
	c.setServers(servers)
	return c
}

// setServers replaces the name servers. Questions under way end with the old ones.
func (c *client) setServers(addrs []netip.AddrPort) {
	l := new(serverList)
	for _, a := range addrs {
		l.servers = append(l.servers, &server{addr: a})
	}
	c.list.Store(l)
}

// exchange asks all questions at once and returns their answers, in order. It runs
// on the flight's goroutine. It returns when every question has its answer, when
// patience is at its end or when ctx is.
func (c *client) exchange(ctx context.Context, qs []question, p patience) []answer {
	b := newBatch(qs)
	l := c.list.Load()
	end := time.Now().Add(p.total)
	for i := range p.tries {
		left := time.Until(end)
		if ctx.Err() != nil || b.unsettled() == 0 || left <= 0 {
			break
		}
		n := (int(l.favour.Load()) + p.first + i) % len(l.servers)
		b.begin(l.servers[n].addr, min(p.try, left))
		began := time.Now()
		c.udp(ctx, b, l.servers[n])
		c.tcp(ctx, b, l.servers[n])
		l.judge(n, b.heard || l.servers[n].heardSince(began))
	}
	b.sign(time.Since(end.Add(-p.total)))
	return b.answers
}

// judge remembers whether a server is there. After three misses of the
// favourite the next one is asked first, so that a dead first line in
// resolv.conf does not cost every name a timeout.
func (l *serverList) judge(n int, heard bool) {
	if n != int(l.favour.Load()) {
		return
	}
	if heard {
		l.misses.Store(0)
		return
	}
	if l.misses.Add(1) >= 3 {
		l.misses.Store(0)
		l.favour.Store(uint32((n + 1) % len(l.servers)))
	}
}

// udp makes one try over UDP.
func (c *client) udp(ctx context.Context, b *batch, s *server) {
	c.metre.wait(ctx, b.count(asking), b.deadline)
	p, err := s.join(ctx, b, c.dial)
	if err != nil {
		b.give(err)
		return
	}
	defer s.part(p, b)
	p.query(b)
	b.listen(ctx)
}

// tcp asks the questions whose replies came truncated again, over one connection
// (RFC 7766 §5). An error leaves them to the next try.
func (c *client) tcp(ctx context.Context, b *batch, s *server) {
	if b.count(cut) == 0 {
		return
	}
	select {
	case c.tcps <- struct{}{}:
		defer func() { <-c.tcps }()
	case <-ctx.Done():
		return
	case <-time.After(time.Until(b.deadline)):
		return
	}
	conn, err := c.line(ctx, b, s.addr)
	if err != nil {
		b.blameTCP(err)
		return
	}
	defer conn.hangUp()
	buf := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buf)
	for i := range b.state {
		if b.state[i] == cut {
			if err := b.overTCP(conn, i, *buf); err != nil {
				b.blameTCP(err)
				return
			}
		}
	}
}

// line connects over TCP for the present try of b; the end of ctx or of the try ends every
// wait on the connection.
func (c *client) line(ctx context.Context, b *batch, server netip.AddrPort) (*line, error) {
	within, done := context.WithDeadline(ctx, b.deadline)
	defer done()
	conn, err := c.dial(within, "tcp", server.String())
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(b.deadline); err != nil {
		conn.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return &line{conn, stop}, nil
}
