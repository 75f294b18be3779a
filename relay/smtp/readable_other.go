//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package smtp

type probe struct{}

// readable cannot be known on this system. A dead connection shows when it is used.
func (c *Conn) readable() bool { return false }
