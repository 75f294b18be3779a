package milter

import (
	"net"
	"syscall"
)

// quickAck returns a function that has the system acknowledge at once what has come on a TCP connection, or nil for any
// other connection.
//
// Sendmail writes a frame in small pieces and leaves Nagle's algorithm on: its next piece waits for the acknowledgement
// of the last one. The system holds that back for 40 ms, in the hope of an answer to carry it, at each step of the
// dialogue. It forgets TCP_QUICKACK after a while (tcp(7)), so the option is set before each read, not once.
func quickAck(nc net.Conn) func() {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	set := func(fd uintptr) {
		// A failure costs 40 ms, and the read behind it tells why.
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	}
	return func() { _ = raw.Control(set) }
}
