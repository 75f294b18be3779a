package smtp

import "syscall"

// bindAddressNoPort is IP_BIND_ADDRESS_NO_PORT of ip(7).
const bindAddressNoPort = 24

// bindLate makes the kernel choose the source port at the connect and not at the
// bind of the source address. At the bind the kernel does not know the destination,
// so it uses each port for one connection only. A port stays in use for a minute
// after its connection has ended, and by default there are 28,000: a busy sender
// runs out of them. An error is dropped: an old kernel works as before.
func bindLate(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, bindAddressNoPort, 1)
	})
}
