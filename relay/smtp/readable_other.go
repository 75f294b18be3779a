//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package smtp

// readable is not known here; a dead connection is found out by using it.
func (c *Conn) readable() bool { return false }
