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

// probeTimeout is how long a daemon that may sit at the other end of an old socket is given to accept.
const probeTimeout = 2 * time.Second

// ErrInUse is returned when another process answers at the socket.
var ErrInUse = errors.New("another process answers there")

// Listen binds the control socket of cfg with mode 0660, making its directory when only that is missing. A socket that
// a killed daemon left behind is replaced; one that is answered, and anything that is no socket, is left alone.
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
	// Between the two calls the umask decides, which can only be stricter where it matters: to connect needs write.
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(cause(err), ln.Close())
	}
	return ln, nil
}

// makeDir makes the socket's own directory, but not a path of them: more than that is rather a typing mistake.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o750)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return fmt.Errorf("make its directory: %w", cause(err))
}

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
		_ = conn.Close() // it answered, which is all that was asked
		return ErrInUse
	case !errors.Is(err, syscall.ECONNREFUSED):
		return cause(err) // no permission, or a backlog that is full: somebody may be there
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove what a dead daemon left: %w", cause(err))
	}
	return nil
}

// cause strips the operation and the path, which the caller names.
func cause(err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno
	}
	return err
}
