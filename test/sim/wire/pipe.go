package wire

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how many bytes may be under way or unread before a writer waits.
const window = 256 << 10

// never is the arrival of a packet on a link that is cut.
var never = time.Unix(1<<40, 0)

// segment is one write on its way.
type segment struct {
	data    []byte
	arrives time.Time
}

// pipe is one direction of a connection.
type pipe struct {
	net      *Network
	from, to netip.AddrPort
	trip     time.Duration // how long a packet needs

	mu      sync.Mutex
	cond    sync.Cond // something has arrived, was read, or has ended
	under   []segment
	size    int       // bytes of under
	end     time.Time // when the end of the stream arrives; zero: it has not been sent
	cause   error     // what the reader gets at the end
	deaf    bool      // the reader has closed: nothing is read any more
	refused time.Time // when the writer learns that
	mute    bool      // the writer has closed

	readBy, writeBy clock
}

// clock is a deadline that wakes a pipe.
type clock struct {
	until time.Time
	timer *time.Timer
}

func newPipe(n *Network, from, to netip.AddrPort, trip time.Duration) *pipe {
	p := &pipe{net: n, from: from, to: to, trip: trip}
	p.cond.L = &p.mu
	return p
}

// set moves a deadline. The caller holds the pipe's mutex.
func (c *clock) set(p *pipe, t time.Time) {
	c.until = t
	if c.timer != nil {
		c.timer.Stop()
	}
	p.cond.Broadcast()
	if t.IsZero() {
		return
	}
	c.timer = time.AfterFunc(time.Until(t), p.wake)
}

// passed reports whether the deadline is over.
func (c *clock) passed() bool { return !c.until.IsZero() && !time.Now().Before(c.until) }

func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cond.Broadcast()
}

// arrival is when a packet arrives that is sent now. The network wakes the reader then.
func (p *pipe) arrival(severed bool) time.Time {
	if severed {
		return never
	}
	time.AfterFunc(p.trip, p.wake)
	return time.Now().Add(p.trip)
}

// resume sends again, after a cut, what was sent meanwhile.
func (p *pipe) resume() {
	severed := p.net.severed(p.from.Addr(), p.to.Addr())
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.under {
		if p.under[i].arrives == never {
			p.under[i].arrives = p.arrival(severed)
		}
	}
	if p.end == never {
		p.end = p.arrival(severed)
	}
	if p.refused == never {
		p.refused = p.arrival(severed)
	}
}

// read implements the reader's side.
func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case p.deaf:
			return 0, net.ErrClosed
		case p.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(p.under) > 0 && !p.under[0].arrives.After(now):
			return p.pull(b, now), nil
		case len(p.under) == 0 && !p.end.IsZero() && !p.end.After(now):
			return 0, p.cause
		}
		p.cond.Wait()
	}
}

// pull moves what has arrived to b.
func (p *pipe) pull(b []byte, now time.Time) (n int) {
	for n < len(b) && len(p.under) > 0 && !p.under[0].arrives.After(now) {
		s := &p.under[0]
		k := copy(b[n:], s.data)
		n += k
		if s.data = s.data[k:]; len(s.data) == 0 {
			p.under = p.under[1:]
		}
	}
	p.size -= n
	p.cond.Broadcast()
	return n
}

// write implements the writer's side.
func (p *pipe) write(b []byte) (int, error) {
	severed := p.net.severed(p.from.Addr(), p.to.Addr())
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.mute:
			return 0, net.ErrClosed
		case p.writeBy.passed():
			return 0, os.ErrDeadlineExceeded
		case p.deaf && !p.refused.After(time.Now()):
			return 0, syscall.EPIPE
		case p.size < window:
			p.under = append(p.under, segment{append([]byte(nil), b...), p.arrival(severed)})
			p.size += len(b)
			return len(b), nil
		}
		p.cond.Wait()
	}
}

// finish ends the stream from the writer's side: the reader gets cause after all that was written, and a lost connection is
// never read to its end.
func (p *pipe) finish(cause error) {
	severed := p.net.severed(p.from.Addr(), p.to.Addr())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = true
	p.writeBy.set(p, time.Time{})
	if p.end.IsZero() {
		p.cause, p.end = cause, p.arrival(severed)
		if cause != io.EOF { // what is still on its way is lost
			now := time.Now()
			for i, s := range p.under {
				if s.arrives.After(now) {
					p.under = p.under[:i]
					break
				}
			}
		}
	}
	p.cond.Broadcast()
}

// deafen ends the stream from the reader's side.
func (p *pipe) deafen() {
	severed := p.net.severed(p.from.Addr(), p.to.Addr())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deaf {
		return
	}
	p.deaf = true
	p.refused = p.arrival(severed)
	p.under, p.size = nil, 0
	p.readBy.set(p, time.Time{})
	p.cond.Broadcast()
}

// Conn is one end of a connection.
type Conn struct {
	host          *Host
	in, out       *pipe
	local, remote netip.AddrPort
	once          sync.Once
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	if err != nil && err != io.EOF {
		err = fault("read", "tcp", err)
	}
	return n, err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	if !c.host.alive() {
		return 0, fault("write", "tcp", syscall.ECONNRESET)
	}
	n, err := c.out.write(b)
	if err != nil {
		err = fault("write", "tcp", err)
	}
	return n, err
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.out.finish(io.EOF)
		c.in.deafen()
		c.host.forget(c)
	})
	return nil
}

// reset ends the connection as the crash of its host does: neither end reads to the end what was on its way.
func (c *Conn) reset() {
	c.once.Do(func() {
		c.out.finish(syscall.ECONNRESET)
		c.in.deafen()
		c.host.forget(c)
	})
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.deaf {
		return fault("set", "tcp", net.ErrClosed)
	}
	c.in.readBy.set(c.in, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.mute {
		return fault("set", "tcp", net.ErrClosed)
	}
	c.out.writeBy.set(c.out, t)
	return nil
}
