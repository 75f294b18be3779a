package milter

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ParseListen takes a listen address apart. It understands the forms that Postfix writes: "inet:host:port",
// "inet6:[host]:port", "unix:/path" and, with the same meaning, "local:/path". It returns the arguments of net.Listen.
func ParseListen(s string) (network, address string, err error) {
	kind, rest, found := strings.Cut(s, ":")
	if !found {
		return "", "", fmt.Errorf("%q has no kind; write inet:127.0.0.1:8895 or unix:/path", s)
	}
	switch kind {
	case "unix", "local":
		if !filepath.IsAbs(rest) {
			return "", "", fmt.Errorf("%q: the path must begin with /", s)
		}
		return "unix", rest, nil
	case "inet", "inet6":
		host, port, err := net.SplitHostPort(rest)
		if err != nil || host == "" || port == "" {
			return "", "", fmt.Errorf("%q: write %s:host:port, like inet:127.0.0.1:8895 or inet6:[::1]:8895", s, kind)
		}
		if kind == "inet6" {
			return "tcp6", rest, nil
		}
		return "tcp", rest, nil
	default:
		return "", "", fmt.Errorf("%q: kind %q is none of inet, inet6, unix", s, kind)
	}
}

// Listen opens a listen address in a form that ParseListen understands. It removes a unix socket that a dead process
// has left, and never one on which somebody answers. The group of the new socket may connect too.
func Listen(s string) (net.Listener, error) {
	network, address, err := ParseListen(s)
	if err != nil {
		return nil, err
	}
	if network != "unix" {
		return net.Listen(network, address)
	}
	if err := removeStale(address); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s, err)
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	// Connecting needs the right to write, which until here only the owner has.
	if err := os.Chmod(address, 0o660); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// removeStale removes the socket at path when nobody answers there.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there and is no socket", path)
	}
	nc, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		nc.Close()
		return fmt.Errorf("another process answers on %s", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
