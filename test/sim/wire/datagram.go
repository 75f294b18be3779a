package wire

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// datagrams is a connected UDP socket.
type datagrams struct {
	host     *Host
	from, to netip.AddrPort
	trip     time.Duration

	// A pipe carries the answers: each of its segments is one packet.
	in   *pipe
	once sync.Once
}

func (h *Host) dialUDP(from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	_, trip := h.net.distance(h, to.Addr())
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.dead {
		return nil, fault("dial", "udp", syscall.ENETDOWN)
	}
	if h.net.port++; h.net.port < 20000 {
		h.net.port = 20000
	}
	near := netip.AddrPortFrom(from, h.net.port)
	return &datagrams{host: h, from: near, to: to, trip: trip, in: newPipe(h.net, to, near, trip)}, nil
}

// Write implements net.Conn. The answerer is asked when the packet arrives; its answers need as long for the way back.
func (d *datagrams) Write(b []byte) (int, error) {
	if !d.host.alive() || d.host.net.severed(d.from.Addr(), d.to.Addr()) {
		return len(b), nil
	}
	packet := append([]byte(nil), b...)
	time.AfterFunc(d.trip, func() { d.answer(packet) })
	return len(b), nil
}

// answer runs on the goroutine of a timer.
func (d *datagrams) answer(packet []byte) {
	d.host.net.mu.Lock()
	f := d.host.net.datagrams[d.to]
	d.host.net.mu.Unlock()
	if f == nil {
		return
	}
	packets, after := f(packet)
	for _, p := range packets {
		time.AfterFunc(after, func() { _, _ = d.in.write(p) }) // a socket that is closed hears nothing
	}
}

// Read implements net.Conn. It returns one packet.
func (d *datagrams) Read(b []byte) (int, error) {
	p := d.in
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.deaf:
			return 0, fault("read", "udp", net.ErrClosed)
		case p.readBy.passed():
			return 0, fault("read", "udp", overdue{})
		case len(p.under) > 0 && !p.under[0].arrives.After(time.Now()):
			s := p.under[0]
			p.under = p.under[1:]
			p.size -= len(s.data)
			return copy(b, s.data), nil
		}
		p.cond.Wait()
	}
}

// Close implements net.Conn.
func (d *datagrams) Close() error {
	d.once.Do(d.in.deafen)
	return nil
}

// LocalAddr implements net.Conn.
func (d *datagrams) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(d.from) }

// RemoteAddr implements net.Conn.
func (d *datagrams) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(d.to) }

// SetDeadline implements net.Conn.
func (d *datagrams) SetDeadline(t time.Time) error { return d.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (d *datagrams) SetReadDeadline(t time.Time) error {
	d.in.mu.Lock()
	defer d.in.mu.Unlock()
	d.in.readBy.set(d.in, t)
	return nil
}

// SetWriteDeadline implements net.Conn. A datagram is sent without waiting.
func (d *datagrams) SetWriteDeadline(time.Time) error { return nil }
