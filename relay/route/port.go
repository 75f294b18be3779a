package route

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxPorts bounds the UDP sockets to one server. They are shared, so that
	// thousands of outstanding questions do not cost thousands of descriptors.
	maxPorts = 16
	// portLife is how many batches a port takes, one after the other or at the
	// same time. Then a new one is opened in its place: a forger has to guess
	// the port besides the id (RFC 5452), so no port may last.
	portLife = 64
)

// port is one UDP socket to one server, shared by the batches that ask at the
// same time. It is closed when the last of them has ended: when there is little
// to ask, each batch has a port of its own.
type port struct {
	conn  net.Conn
	done  chan struct{} // closed when the reader has ended
	heard *atomic.Int64 // server.heard

	// Guarded by server.mu.
	users int
	taken int // batches in all

	mu    sync.Mutex
	asked map[uint16]*batch // by the ids of open questions
	err   error             // the socket is broken
}

// server is one name server and the ports to it.
type server struct {
	addr  netip.AddrPort
	heard atomic.Int64 // when it last said anything, Unix nanoseconds

	mu    sync.Mutex
	ports []*port
}

// heardSince reports whether the server has said anything to anybody since. One
// that has is there: it is the domain whose servers are silent.
func (s *server) heardSince(t time.Time) bool { return s.heard.Load() >= t.UnixNano() }

// join gives a batch a port, and the ids of its open questions a meaning there.
func (s *server) join(ctx context.Context, b *batch, dial dialer) (*port, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		p, err := s.pick(ctx, dial)
		if err != nil {
			return nil, err
		}
		p.users++
		p.taken++
		err = p.expect(b)
		if err == nil {
			return p, nil
		}
		s.strike(p)
		if p.users--; p.users == 0 { // a new one that has failed at once
			p.conn.Close()
			return nil, err
		}
	}
}

// pick finds a port with life left, or opens one. When there are as many as
// there may be, or descriptors have run out, any open one will do. The mutex is
// held: a UDP socket is opened without waiting.
func (s *server) pick(ctx context.Context, dial dialer) (*port, error) {
	for _, p := range s.ports {
		if p.taken < portLife {
			return p, nil
		}
	}
	if len(s.ports) >= maxPorts {
		return s.ports[rand.IntN(len(s.ports))], nil
	}
	conn, err := dial(ctx, "udp", s.addr.String())
	switch {
	case err == nil:
	case len(s.ports) > 0 && (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)):
		return s.ports[rand.IntN(len(s.ports))], nil
	default:
		return nil, err
	}
	p := &port{conn: conn, done: make(chan struct{}), heard: &s.heard, asked: make(map[uint16]*batch)}
	s.ports = append(s.ports, p)
	go p.read() // ends when the port is closed; part waits for it
	return p, nil
}

// part ends a batch's use of a port. The last one closes it.
func (s *server) part(p *port, b *batch) {
	p.freeIDs(b)
	s.mu.Lock()
	p.users--
	last := p.users == 0
	if last {
		s.strike(p)
	}
	s.mu.Unlock()
	if last {
		p.conn.Close()
		<-p.done
	}
}

// strike takes a port out of the list, so that no batch joins it any more; the
// mutex is held.
func (s *server) strike(p *port) {
	s.ports = slices.DeleteFunc(s.ports, func(have *port) bool { return have == p })
}

// expect gives every open question of a batch an id that no other question of
// this port has.
func (p *port) expect(b *batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	for i := range b.qs {
		if b.state[i] != asking {
			continue
		}
		id := uint16(rand.Uint32())
		for p.asked[id] != nil {
			id = uint16(rand.Uint32())
		}
		b.ids[i] = id
		p.asked[id] = b
	}
	return nil
}

// freeIDs makes the ids of a batch free again.
func (p *port) freeIDs(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range b.ids {
		if p.asked[id] == b {
			delete(p.asked, id)
		}
	}
}

// read hands every packet to the batch whose question has its id. The batch
// decides whether it is an answer.
func (p *port) read() {
	defer close(p.done)
	buf := make([]byte, dns.MaxMsgSize)
	for {
		n, err := p.conn.Read(buf)
		if err != nil {
			p.broke(err)
			return
		}
		if n < 12 {
			continue // less than a header
		}
		p.heard.Store(time.Now().UnixNano())
		if b := p.whose(binary.BigEndian.Uint16(buf)); b != nil {
			b.hand(append([]byte(nil), buf[:n]...))
		}
	}
}

// query asks the open questions of a batch.
func (p *port) query(b *batch) {
	for i := range b.state {
		if b.state[i] != asking {
			continue
		}
		_, err := p.conn.Write(b.packed(i, false))
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			p.broke(err) // about the questions before this one
		case err != nil:
			b.interrupt(err)
		}
	}
}

// whose is the batch that asked under an id, nil if none did.
func (p *port) whose(id uint16) *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[id]
}

// broke tells everybody who asks here that the socket has failed: the kernel
// says so when nobody listens at the server's port.
func (p *port) broke(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	for _, b := range p.asked {
		b.interrupt(err)
	}
}

// metre spaces questions out. A name server on the same machine has room for a
// few hundred unread packets, and what does not fit is lost.
type metre struct {
	mu   sync.Mutex
	next time.Time
}

const (
	spacing = 30 * time.Microsecond // between two questions: a whole window goes out in less than least
	burst   = 64 * spacing          // as many go out at once
)

// wait returns when n questions may go out, at the latest at the deadline.
func (m *metre) wait(ctx context.Context, n int, deadline time.Time) {
	m.mu.Lock()
	now := time.Now()
	if m.next.Before(now.Add(-burst)) {
		m.next = now.Add(-burst)
	}
	m.next = m.next.Add(time.Duration(n) * spacing)
	wait := min(m.next.Sub(now), deadline.Sub(now))
	m.mu.Unlock()
	if wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
