package console

import (
	"fmt"
	"path/filepath"
)

// maxSocketPath is the length of sun_path without its NUL; see unix(7). The kernel's own error for a longer path says only
// "invalid argument".
const maxSocketPath = 107

// Config is the [control] table.
type Config struct {
	Socket string `toml:"socket"` // path of the control socket
}

// DefaultConfig is the [control] table of an empty file.
func DefaultConfig() Config { return Config{Socket: "/run/millrace/control.sock"} }

// Validate returns the first mistake. The error begins with its key.
func (c Config) Validate() error {
	switch {
	case !filepath.IsAbs(c.Socket):
		return fmt.Errorf("socket: %q is not a path from the root; write it like %q", c.Socket, DefaultConfig().Socket)
	case len(c.Socket) > maxSocketPath:
		return fmt.Errorf("socket: the path has %d bytes; a unix socket allows %d", len(c.Socket), maxSocketPath)
	}
	return nil
}
