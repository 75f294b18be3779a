//go:build !linux

package console

import "net"

// peerOf knows nobody: each system has a call of its own, and none of them is tested here.
func peerOf(net.Conn) peer { return peer{} }
