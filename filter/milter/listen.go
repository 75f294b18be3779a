package milter

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
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

// Bind opens one of the addresses in c.Listen. It removes a unix socket that a dead process has left, and never one on
// which somebody answers. The socket gets the configured group and mode.
func (c *Config) Bind(s string) (net.Listener, error) {
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
	if err := c.setAccess(address); err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", s, err)
	}
	return ln, nil
}

// setAccess gives the socket at path to the configured group, and then its mode. The order matters: connecting needs the
// right to write, which until the mode is set only the owner has. A wrong group would otherwise connect for a moment.
func (c *Config) setAccess(path string) error {
	if c.SocketGroup != "" {
		gid, err := groupID(c.SocketGroup)
		if err != nil {
			return fmt.Errorf("milter.socket_group: %w", err)
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("milter.socket_group: %w; make the daemon's user a member of the group %s", err, c.SocketGroup)
		}
	}
	mode, err := parseMode(c.SocketMode)
	if err != nil {
		return fmt.Errorf("milter.socket_mode: %w", err)
	}
	return os.Chmod(path, mode)
}

// groupID finds a group by its name or number.
func groupID(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("%w; give the group that the MTA runs as, or its number", err)
	}
	return strconv.Atoi(g.Gid)
}

// parseMode reads the mode of a socket, which is written as for chmod. The owner keeps the right to connect.
func parseMode(s string) (os.FileMode, error) {
	mode, err := strconv.ParseUint(s, 8, 32)
	if err != nil || mode > 0o777 || mode&0o600 != 0o600 {
		return 0, fmt.Errorf(`%q is no mode of a socket; write "0660" for the owner and the group`, s)
	}
	return os.FileMode(mode), nil
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
