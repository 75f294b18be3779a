//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package smtpd

import "net"

// readable cannot be known on this system. A dead connection shows when it is used.
func readable(net.Conn) bool { return false }
