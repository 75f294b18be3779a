package smtp

import "syscall"

// bindAddressNoPort is IP_BIND_ADDRESS_NO_PORT of ip(7).
const bindAddressNoPort = 24

// bindLate makes the kernel choose the source port when it connects and not when
// the source address is bound. At the bind it does not know the destination, so
// it would use each port for one connection only, whereto ever: a busy sender
// runs out of ports after 28,000 connections, those that have just ended included.
// An error is dropped: an old kernel works as before.
func bindLate(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, bindAddressNoPort, 1)
	})
}
