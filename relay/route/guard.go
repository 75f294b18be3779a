package route

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// guard says which receivers we refuse to connect to, even if DNS names them, and
// which receivers are this host.
type guard struct {
	allow    []netip.Prefix
	deny     []netip.Prefix
	private  bool
	own      map[netip.Addr]struct{}
	hostname string
}

// newGuard makes the guard of a host that has the addresses local besides
// cfg.Own.
func newGuard(cfg Config, local ...netip.Addr) *guard {
	g := &guard{
		allow:    cfg.Allow,
		deny:     cfg.Prohibited,
		private:  cfg.AllowPrivate,
		own:      make(map[netip.Addr]struct{}, len(cfg.Own)),
		hostname: cfg.Hostname,
	}
	for _, a := range slices.Concat(cfg.Own, local) {
		// Link-local addresses come and go with containers. No mail goes there
		// in any case.
		if a = a.WithZone("").Unmap(); !a.IsLinkLocalUnicast() {
			g.own[a] = struct{}{}
		}
	}
	return g
}

// sameAs reports whether another guard, of the same configuration, judges alike.
func (g *guard) sameAs(o *guard) bool { return maps.Equal(g.own, o.own) }

// prohibits reports whether mail must not go to an address that DNS gave.
// Without this anybody could aim our connections at our own network by an MX
// record.
func (g *guard) prohibits(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case within(a, g.deny):
		return true
	case within(a, g.allow):
		return false
	case neverRemote(a):
		return true
	case !g.private && isPrivate(a):
		return true
	}
	v4, ok := embedded(a)
	return ok && g.prohibits(v4)
}

// forbids reports whether the operator has forbidden an address by name, in
// distinction to those that are refused because they cannot be remote.
func (g *guard) forbids(a netip.Addr) bool { return within(a.Unmap(), g.deny) }

// prohibitsName reports whether a host name means the local host by
// definition (RFC 6761 §6.3).
func (g *guard) prohibitsName(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// isSelf reports whether a receiver is this host.
func (g *guard) isSelf(name string, addrs []netip.Addr) bool {
	if g.hostname != "" && name == g.hostname {
		return true
	}
	for _, a := range addrs {
		if _, ok := g.own[a]; ok {
			return true
		}
	}
	return false
}

// within reports whether one of the networks holds the address.
func within(a netip.Addr, nets []netip.Prefix) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// neverRemote reports addresses that no host beyond our own links can have:
// unspecified, "this network", loopback, link-local, multicast, and the reserved
// range above multicast.
func neverRemote(a netip.Addr) bool {
	if a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() {
		return true
	}
	if !a.Is4() {
		return false
	}
	first := a.As4()[0]
	return first == 0 || first >= 224
}

// isPrivate reports addresses of private use: RFC 1918, RFC 4193, and the
// carrier's own range of RFC 6598.
func isPrivate(a netip.Addr) bool {
	if a.IsPrivate() {
		return true
	}
	if !a.Is4() {
		return false
	}
	b := a.As4()
	return b[0] == 100 && b[1]&0xc0 == 64
}

// embedded finds the IPv4 address that a translator would connect to: NAT64
// (RFC 6052), 6to4 (RFC 3056) and the old IPv4-compatible form.
func embedded(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	b := a.As16()
	switch {
	case [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}:
		return netip.AddrFrom4([4]byte(b[12:])), true
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case [12]byte(b[:12]) == [12]byte{}:
		return netip.AddrFrom4([4]byte(b[12:])), true
	}
	return netip.Addr{}, false
}

// LocalAddrs lists the addresses of this host's interfaces, loopback left out,
// for Config.Local.
func LocalAddrs() ([]netip.Addr, error) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses of this host: %w", err)
	}
	var list []netip.Addr
	for _, n := range nets {
		p, err := netip.ParsePrefix(n.String())
		if err == nil && !p.Addr().IsLoopback() {
			list = append(list, p.Addr().Unmap())
		}
	}
	return list, nil
}
