package console

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// probeTimeout is how long a daemon that may be alive behind an old socket has for accepting the probe.
const probeTimeout = 2 * time.Second

// ErrInUse is returned when another process answers at the socket.
var ErrInUse = errors.New("another process answers there")

// Listen binds the control socket of cfg with mode 0660. It makes the socket's directory when only that is missing. A
// socket that a killed daemon left behind is replaced. A socket where somebody answers, and a file that is no socket, stay
// as they are.
func Listen(cfg Config) (net.Listener, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("control %w", err)
	}
	ln, err := bind(cfg.Socket)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", cfg.Socket, err)
	}
	return ln, nil
}

func bind(path string) (net.Listener, error) {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, cause(err)
	}
	// The group needs write permission to connect. Between the two calls the umask decides, and no usual umask gives write
	// permission to others.
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(cause(err), ln.Close())
	}
	return ln, nil
}

// makeDir makes the socket's own directory. It does not make the directories above: if they are missing too, the path is
// probably a typing mistake.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o750)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return fmt.Errorf("make its directory: %w", cause(err))
}

// removeStale removes a socket where nobody answers. The probe cannot be avoided: a socket file looks the same with and
// without a process behind it. It must never remove a live one, or the daemon behind it could no longer be asked.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return cause(err)
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("is there already and is not a socket")
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	switch {
	case err == nil:
		_ = conn.Close() // the answer is all that the probe needs
		return ErrInUse
	case !errors.Is(err, syscall.ECONNREFUSED):
		return cause(err) // no permission, or a full backlog: a daemon may be there
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket of a dead daemon: %w", cause(err))
	}
	return nil
}

// cause strips the operation and the path from an error: the caller's text names them, in the words of the configuration.
func cause(err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno
	}
	return err
}
