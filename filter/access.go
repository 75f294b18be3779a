package filter

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Access says who may connect to a door, and how its unix sockets are made. Each door has one in its table.
type Access struct {
	Allow       []netip.Prefix `toml:"allow"`        // networks of other hosts that may connect; a host elsewhere is refused. Loopback is always allowed
	SocketGroup string         `toml:"socket_group"` // group of the unix sockets, by name or number; "" is the daemon's own
	SocketMode  string         `toml:"socket_mode"`  // mode of the unix sockets, as for chmod; whoever may write may connect
}

// DefaultAccess lets this host connect, and the daemon's own group.
func DefaultAccess() Access { return Access{SocketMode: "0660"} }

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

// Bind opens one of a door's listen addresses. It removes a unix socket that a dead process has left, and never one on
// which somebody answers. The socket gets the configured group and mode.
func (a *Access) Bind(s string) (net.Listener, error) {
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
	if err := a.setAccess(address); err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", s, err)
	}
	return ln, nil
}

// setAccess gives the socket at path to the configured group, and then its mode. The order matters: connecting needs the
// right to write, which until the mode is set only the owner has. A wrong group would otherwise connect for a moment.
func (a *Access) setAccess(path string) error {
	if a.SocketGroup != "" {
		gid, err := groupID(a.SocketGroup)
		if err != nil {
			return fmt.Errorf("socket_group: %w", err)
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("socket_group: %w; make the daemon's user a member of the group %s", err, a.SocketGroup)
		}
	}
	mode, err := parseMode(a.SocketMode)
	if err != nil {
		return fmt.Errorf("socket_mode: %w", err)
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

// Validate returns what is wrong, naming the key and how to repair it.
func (a Access) Validate() error {
	for i, network := range a.Allow {
		if network != network.Masked() || network.Addr().Is4In6() {
			return fmt.Errorf("allow[%d]: %s is not a network; write %s", i, network, plainNetwork(network))
		}
	}
	if n, err := strconv.Atoi(a.SocketGroup); err == nil && n < 0 {
		return fmt.Errorf("socket_group: %d is no group", n)
	}
	if _, err := parseMode(a.SocketMode); err != nil {
		return fmt.Errorf("socket_mode: %w", err)
	}
	return nil
}

// Open reports whether hosts that Allow does not name could reach a listen address, were they not refused.
func Open(network, address string) bool { return network != "unix" && !onLoopback(address) }

// onLoopback reports whether only this host can reach a TCP address. A name other than "localhost" may stand for any
// address, and may stand for another one tomorrow.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// plainNetwork is p as it should have been written: without host bits, and IPv4 as such.
func plainNetwork(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// Permits reports whether a peer may offer mail. The peer of a unix socket has no address: the socket's mode has judged
// it. On loopback the peer is a program of this host, whichever user runs it.
func (a *Access) Permits(peer net.Addr) bool {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return true
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.IsLoopback() {
		return true
	}
	for _, network := range a.Allow {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
