package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter"
)

// Given are the sockets that a process is started with: by systemd (socket activation), or by the process before it, which
// hands over its listeners and the connections of the MTA. Those who come while no process accepts wait in the listen queue of
// the socket, and notice nothing.
//
// A nil *Given has no sockets.
type Given struct {
	listeners []givenListener
	conns     []givenConn

	// Handovers is how many processes before this one have handed over.
	Handovers int
	// Failure says why the last of them had to go on itself, else it is "".
	Failure string
}

// givenListener is a listener by its descriptor.
type givenListener struct {
	file    *os.File
	spec    string // its address in the configuration of the process before; "" if that was systemd
	systemd bool
}

// givenConn is an open connection of a client, by its descriptor.
type givenConn struct {
	file  *os.File
	door  string // that it belongs to
	state []byte // for that door
}

// add puts a connection into g. The file that is kept is a duplicate, and c is closed.
func (g *Given) add(door string, h filter.Handed) error {
	defer h.Conn.Close()
	f, err := fileOf(h.Conn)
	if err == nil {
		g.conns = append(g.conns, givenConn{f, door, h.State})
	}
	return err
}

// fileOf makes a duplicate of a socket that is open.
func fileOf(socket any) (*os.File, error) {
	s, ok := socket.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a %T cannot be handed over", socket)
	}
	return s.File()
}

// Receive takes over what this process was started with. It must be called once, and before any child is started. It returns nil when
// there is nothing.
func Receive() (*Given, error) {
	g, err := receiveHandover()
	for _, f := range activation.Files(true) {
		if g == nil {
			g = &Given{}
		}
		g.listeners = append(g.listeners, givenListener{file: f, systemd: true})
	}
	return g, err
}

// claim takes the listener out of g that a listen address names, and returns the zero listener when there is none.
func (g *Given) claim(spec string) (listener, error) {
	if g == nil {
		return listener{}, nil
	}
	for i, l := range g.listeners {
		if l.file == nil {
			continue
		}
		ln, err := net.FileListener(l.file)
		if err != nil {
			return listener{}, fmt.Errorf("the socket %q that the daemon was started with does not listen: %w; a socket unit needs ListenStream= and Accept=no", l.file.Name(), err)
		}
		if l.spec != spec && (l.spec != "" || !names(spec, ln.Addr())) {
			ln.Close() // a duplicate: the socket stays
			continue
		}
		l.file.Close()
		g.listeners[i].file = nil
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(!l.systemd)
		}
		return listener{ln, spec, l.systemd}, nil
	}
	return listener{}, nil
}

// names reports whether a listen address of the configuration means the address of a socket. A host's name means each of its addresses.
func names(spec string, at net.Addr) bool {
	network, address, err := filter.ParseListen(spec)
	if err != nil {
		return false
	}
	if network == "unix" {
		u, ok := at.(*net.UnixAddr)
		return ok && filepath.Clean(address) == filepath.Clean(u.Name)
	}
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return false
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n != tcp.Port {
		return false
	}
	have := tcp.AddrPort().Addr().Unmap()
	hosts := []string{host}
	if _, err := netip.ParseAddr(host); err != nil {
		hosts, _ = net.LookupHost(host) // without an answer nothing matches, and to bind it fails likewise
	}
	for _, h := range hosts {
		want, err := netip.ParseAddr(h)
		if err == nil && (want.Unmap() == have || want.IsUnspecified() && have.IsUnspecified()) {
			return true
		}
	}
	return false
}

// spare judges the listeners that no key names. One of systemd is a mistake: connections would wait there for ever. One of the process
// before has lost its key since, and is closed.
func (g *Given) spare(file string, keys []string, log hclog.Logger) error {
	if g == nil {
		return nil
	}
	var mistakes config.Errors
	for _, l := range g.listeners {
		if l.file == nil {
			continue
		}
		ln, err := net.FileListener(l.file)
		if err != nil {
			return fmt.Errorf("the socket %q that the daemon was started with does not listen: %w", l.file.Name(), err)
		}
		at := specOf(ln.Addr())
		if l.systemd && l.spec == "" {
			mistakes = append(mistakes, &config.Error{File: file, Text: fmt.Sprintf(
				"systemd has opened %s (%s), and no key names it; name it in the file, or take its ListenStream= out of the socket unit. The file names %s",
				at, l.file.Name(), strings.Join(keys, ", "))})
			ln.Close()
			continue
		}
		log.Warn("a socket is closed: the configuration does not name it any more", "socket", at)
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(!l.systemd)
		}
		ln.Close()
		l.file.Close()
	}
	if mistakes != nil {
		return mistakes
	}
	g.listeners = nil
	return nil
}

// specOf writes an address as the configuration does.
func specOf(a net.Addr) string {
	switch a := a.(type) {
	case *net.UnixAddr:
		return "unix:" + a.Name
	case *net.TCPAddr:
		if a.IP.To4() == nil {
			return "inet6:" + a.String()
		}
		return "inet:" + a.String()
	}
	return a.String()
}

// Close closes all that nobody has claimed.
func (g *Given) Close() error {
	if g == nil {
		return nil
	}
	var err error
	for _, l := range g.listeners {
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
	}
	for _, c := range g.conns {
		err = errors.Join(err, c.file.Close())
	}
	g.listeners, g.conns = nil, nil
	return err
}
