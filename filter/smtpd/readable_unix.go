//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package smtpd

import (
	"net"
	"syscall"
)

// readable reports whether a read would not block: the MTA has said something, or has closed. It takes nothing off the socket. A
// connection that is no socket is never readable.
func readable(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	blocked := false
	// Not RawConn.Read: it fails once an earlier read deadline has passed.
	err = rc.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		blocked = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return err != nil || !blocked
}
