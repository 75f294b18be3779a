package wire

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Network joins hosts.
type Network struct {
	mu        sync.Mutex
	owner     map[netip.Addr]*Host // that has the address now
	listeners map[string]*Listener // by address and port, or by the path of a unix socket
	datagrams map[netip.AddrPort]Answerer
	cut       map[netip.Addr]bool // no packet from or to the address arrives
	port      uint16              // the last one given to a connection that was dialled
}

// Answerer answers a datagram: with packets, each of them sent after a time.
type Answerer func(packet []byte) (packets [][]byte, after time.Duration)

// New makes a network without hosts.
func New() *Network {
	return &Network{
		owner: make(map[netip.Addr]*Host), listeners: make(map[string]*Listener),
		datagrams: make(map[netip.AddrPort]Answerer), cut: make(map[netip.Addr]bool), port: 20000,
	}
}

// Host is a machine on the network. A machine that starts again is another Host, which takes over the addresses.
type Host struct {
	net     *Network
	addrs   []netip.Addr
	latency time.Duration // between this host and the middle of the network

	// Guarded by net.mu.
	dead  bool
	conns map[*Conn]struct{}
}

// Join adds a host with these addresses, of which the first is its own when it connects.
func (n *Network) Join(latency time.Duration, addrs ...netip.Addr) *Host {
	h := &Host{net: n, addrs: addrs, latency: latency, conns: make(map[*Conn]struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range addrs {
		n.owner[a] = h
	}
	return h
}

// Addrs are the addresses of the host.
func (h *Host) Addrs() []netip.Addr { return h.addrs }

// Crash ends the host: its peers find their connections reset, and nothing that the host does from now on reaches anybody.
func (h *Host) Crash() {
	h.net.mu.Lock()
	h.dead = true
	for key, l := range h.net.listeners {
		if l.host == h {
			delete(h.net.listeners, key)
			l.shut()
		}
	}
	h.net.mu.Unlock()
	h.ResetAll()
}

// ResetAll resets every connection of the host.
func (h *Host) ResetAll() {
	h.net.mu.Lock()
	conns := make([]*Conn, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	h.net.mu.Unlock()
	for _, c := range conns {
		c.reset()
	}
}

// Cut keeps all packets from and to an address from arriving, until Heal. What was written meanwhile arrives then.
func (n *Network) Cut(a netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[a] = true
}

// Heal ends a Cut.
func (n *Network) Heal(a netip.Addr) {
	n.mu.Lock()
	delete(n.cut, a)
	var conns []*Conn
	if h := n.owner[a]; h != nil {
		for c := range h.conns {
			conns = append(conns, c)
		}
	}
	n.mu.Unlock()
	for _, c := range conns {
		c.in.resume()
		c.out.resume()
	}
}

// severed reports whether no packet passes between two addresses.
func (n *Network) severed(a, b netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[a] || n.cut[b]
}

// Listen opens a port of the host, or with network "unix" a socket that nobody connects to by an address.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	l := &Listener{host: h, key: address}
	l.cond.L = &l.mu
	l.addr = &net.UnixAddr{Name: address, Net: "unix"}
	if network != "unix" {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		l.addr = net.TCPAddrFromAddrPort(ap)
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.dead {
		return nil, fault("listen", network, syscall.ENETDOWN)
	}
	if h.net.listeners[address] != nil {
		return nil, fault("listen", network, syscall.EADDRINUSE)
	}
	h.net.listeners[address] = l
	return l, nil
}

// ListenUDP answers datagrams to an address and port, until there is another answerer.
func (n *Network) ListenUDP(at netip.AddrPort, f Answerer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.datagrams[at] = f
}

// Dial connects as net.Dialer does. from is the source address; the zero one stands for the host's first. An address that no
// host has, and one that is cut off, never answers: the end of ctx ends the wait. A host without a listener at the port refuses.
func (h *Host) Dial(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
	to, err := parseAddress(address)
	if err != nil {
		return nil, fault("dial", network, err)
	}
	if !from.IsValid() {
		from = h.addrs[0]
	}
	if !slices.Contains(h.addrs, from) {
		return nil, fault("dial", network, syscall.EADDRNOTAVAIL)
	}
	if network == "udp" {
		return h.dialUDP(from, to)
	}
	far, trip := h.net.distance(h, to.Addr())
	if far == nil || h.net.severed(from, to.Addr()) {
		<-ctx.Done()
		return nil, fault("dial", network, overdue{})
	}
	if err := sleep(ctx, 2*trip); err != nil {
		return nil, fault("dial", network, overdue{})
	}
	c, err := h.connect(from, to, trip)
	if err != nil {
		return nil, fault("dial", network, err)
	}
	return c, nil
}

// parseAddress reads an address and port. As in the net package, an IPv4 address may stand in brackets too.
func parseAddress(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.ParseAddrPort(net.JoinHostPort(host, port))
}

// distance is the host that has an address, and how long a packet needs from h to there.
func (n *Network) distance(h *Host, to netip.Addr) (*Host, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	far := n.owner[to]
	if far == nil {
		return nil, 0
	}
	return far, h.latency + far.latency
}

// connect makes both ends of a connection.
func (h *Host) connect(from netip.Addr, to netip.AddrPort, trip time.Duration) (*Conn, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[to.String()]
	switch {
	case h.dead:
		return nil, syscall.ENETDOWN
	case l == nil:
		return nil, syscall.ECONNREFUSED
	}
	if n.port++; n.port < 20000 {
		n.port = 20000
	}
	near := netip.AddrPortFrom(from, n.port)
	there, back := newPipe(n, near, to, trip), newPipe(n, to, near, trip)
	c := &Conn{host: h, in: back, out: there, local: near, remote: to}
	peer := &Conn{host: l.host, in: there, out: back, local: to, remote: near}
	h.conns[c], l.host.conns[peer] = struct{}{}, struct{}{}
	l.offer(peer)
	return c, nil
}

// forget takes a closed connection out of the books.
func (h *Host) forget(c *Conn) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	delete(h.conns, c)
}

// alive reports whether the host has not crashed.
func (h *Host) alive() bool {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return !h.dead
}

// fault is an error as the net package makes it.
func fault(op, network string, err error) error { return &net.OpError{Op: op, Net: network, Err: err} }

// overdue is the error of a connection that could not be made in time.
type overdue struct{}

// Error implements error.
func (overdue) Error() string { return "i/o timeout" }

// Timeout implements net.Error.
func (overdue) Timeout() bool { return true }

// Temporary implements net.Error.
func (overdue) Temporary() bool { return true }

// Is makes errors.Is find a deadline, as it does with the net package's errors.
func (overdue) Is(target error) bool { return target == context.DeadlineExceeded }

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Listener is an open port.
type Listener struct {
	host *Host
	addr net.Addr
	key  string

	mu      sync.Mutex
	cond    sync.Cond
	backlog []*Conn
	closed  bool
}

// offer puts a connection into the backlog.
func (l *Listener) offer(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog = append(l.backlog, c)
	l.cond.Signal()
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.backlog) == 0 {
		if l.closed {
			return nil, fault("accept", "tcp", net.ErrClosed)
		}
		l.cond.Wait()
	}
	c := l.backlog[0]
	l.backlog = l.backlog[1:]
	return c, nil
}

// Close implements net.Listener. Connections that nobody has accepted are reset.
func (l *Listener) Close() error {
	l.host.net.mu.Lock()
	if l.host.net.listeners[l.key] == l {
		delete(l.host.net.listeners, l.key)
	}
	l.host.net.mu.Unlock()
	for _, c := range l.shut() {
		c.reset()
	}
	return nil
}

// shut ends Accept and returns whom nobody has accepted.
func (l *Listener) shut() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	rest := l.backlog
	l.backlog = nil
	l.cond.Broadcast()
	return rest
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }

// String names the listener in a trace.
func (l *Listener) String() string { return fmt.Sprint(l.addr) }
