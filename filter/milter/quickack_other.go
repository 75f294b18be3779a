//go:build !linux

package milter

import "net"

// quickAck returns nil: other systems have no option for a single read.
func quickAck(net.Conn) func() { return nil }
