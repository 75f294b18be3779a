package console

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel, as unix(7) describes SO_PEERCRED: the answer is of the moment of connect(2), and the peer cannot
// change it.
func peerOf(conn net.Conn) peer {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return peer{}
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return peer{}
	}
	var p peer
	_ = raw.Control(func(fd uintptr) { // an error leaves p unknown
		if c, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p = peer{uid: c.Uid, gid: c.Gid, pid: c.Pid, known: true}
		}
	})
	return p
}
