//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package smtp

import (
	"net"
	"syscall"
)

// probe asks a socket whether a read would block. It is made once for each connection, because its parts are allocated.
type probe struct {
	raw     syscall.RawConn // nil: it is no socket
	failed  bool            // it is one that cannot be asked
	blocked bool            // set by peek
	peek    func(fd uintptr)
}

func newProbe(nc net.Conn) *probe {
	p := &probe{}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return p
	}
	raw, err := sc.SyscallConn()
	p.raw, p.failed = raw, err != nil
	p.peek = func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.blocked = err == syscall.EAGAIN || err == syscall.EINTR
	}
	return p
}

// readable reports whether a read would not block: the peer has said something,
// or has closed. It takes nothing off the socket. A connection that is no socket
// is never readable.
func (c *Conn) readable() bool {
	if c.probe == nil {
		c.probe = newProbe(c.sock)
	}
	p := c.probe
	if p.failed || p.raw == nil {
		return p.failed
	}
	p.blocked = false
	// Not RawConn.Read: it fails once an earlier read deadline has passed.
	return p.raw.Control(p.peek) != nil || !p.blocked
}
