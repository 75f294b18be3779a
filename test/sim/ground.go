package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/millrace/millrace/test/sim/wire"
)

// ground is what a world stands on: the network in memory, or this machine's own sockets. The addresses of the world are the same
// on both, so that nothing else in it knows which it is.
type ground interface {
	Join(latency time.Duration, addrs ...netip.Addr) host
	ListenUDP(at netip.AddrPort, f wire.Answerer)
	Cut(a netip.Addr)
	Heal(a netip.Addr)
}

// host is a machine of the world.
type host interface {
	Addrs() []netip.Addr
	Listen(network, address string) (net.Listener, error)
	Dial(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error)
	ResetAll()
	Crash()
}

// memory is the network in memory as a ground.
type memory struct{ *wire.Network }

// Join implements ground.
func (m memory) Join(latency time.Duration, addrs ...netip.Addr) host {
	return m.Network.Join(latency, addrs...)
}

// sockets is this machine's loopback interface as a ground. The world's address a.b.c.d is 127.b.c.d here, and each of its ports
// is another that nobody else has. Latency, a cut and a crash do not exist on it.
type sockets struct {
	mu    sync.Mutex
	ports map[string]string // by the world's address and port
	udp   []net.PacketConn
}

// errNoCut is why a scenario cannot run on sockets.
var errNoCut = errors.New("sockets can neither be cut nor crash")

// Join implements ground.
func (s *sockets) Join(_ time.Duration, addrs ...netip.Addr) host {
	return &socketHost{s: s, addrs: addrs, conns: make(map[net.Conn]struct{})}
}

// local is the address on loopback.
func local(a netip.Addr) netip.Addr {
	b := a.As4()
	b[0] = 127
	return netip.AddrFrom4(b)
}

// ListenUDP implements ground.
func (s *sockets) ListenUDP(at netip.AddrPort, f wire.Answerer) {
	pc, err := net.ListenPacket("udp", local(at.Addr()).String()+":0")
	if err != nil {
		panic(err) // a machine without loopback
	}
	s.bind(at.String(), pc.LocalAddr().String())
	s.udp = append(s.udp, pc)
	go func() { // ends when pc is closed
		buf := make([]byte, 65535)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			packets, after := f(append([]byte(nil), buf[:n]...))
			time.Sleep(after)
			for _, p := range packets {
				_, _ = pc.WriteTo(p, from)
			}
		}
	}()
}

func (s *sockets) bind(address, real string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[address] = real
}

// real is the loopback address for one of the world's; a port where nobody listens has one that refuses.
func (s *sockets) real(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if real := s.ports[net.JoinHostPort(host, port)]; real != "" {
		return real
	}
	return "127.0.0.1:1"
}

// Cut implements ground.
func (s *sockets) Cut(netip.Addr) { panic(errNoCut) }

// Heal implements ground.
func (s *sockets) Heal(netip.Addr) {}

// close ends the name server.
func (s *sockets) close() {
	for _, pc := range s.udp {
		pc.Close()
	}
}

// socketHost is a host on sockets.
type socketHost struct {
	s     *sockets
	addrs []netip.Addr
	mu    sync.Mutex
	conns map[net.Conn]struct{} // accepted here
}

// Addrs implements host.
func (h *socketHost) Addrs() []netip.Addr { return h.addrs }

// Listen implements host.
func (h *socketHost) Listen(network, address string) (net.Listener, error) {
	at := "127.0.0.1:0"
	if network != "unix" {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		at = local(ap.Addr()).String() + ":0"
	}
	ln, err := net.Listen("tcp", at)
	if err != nil {
		return nil, err
	}
	h.s.bind(address, ln.Addr().String())
	return &socketListener{ln, h}, nil
}

// Dial implements host.
func (h *socketHost) Dial(ctx context.Context, _ netip.Addr, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, h.s.real(address))
}

// ResetAll implements host.
func (h *socketHost) ResetAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for nc := range h.conns {
		if tcp, ok := nc.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		nc.Close()
	}
	clear(h.conns)
}

// Crash implements host.
func (h *socketHost) Crash() { h.ResetAll() }

// socketListener notes whom it accepts.
type socketListener struct {
	net.Listener
	host *socketHost
}

// Accept implements net.Listener.
func (l *socketListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.host.mu.Lock()
	defer l.host.mu.Unlock()
	l.host.conns[nc] = struct{}{}
	return nc, nil
}
