package stream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// closed are the networks that are not public, beside those that netip knows: shared space (RFC 6598), this network, protocol
// assignments, benchmarks, documentation, the old class E, and forms of IPv6 that have an IPv4 address in them.
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// isPublic reports whether anybody on the Internet may have the address.
func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// guardedDialer connects to public addresses alone, and to those of one host that the configuration names. It looks at the address
// behind the name, at the moment of the connection: a redirect, or a second answer of DNS, must not lead into the private network.
type guardedDialer struct {
	allowed string // a host, whatever its address; "": none
}

// dialContext implements http.Transport's DialContext.
func (g guardedDialer) dialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	if g.allowed == "" || !strings.EqualFold(host, g.allowed) {
		d.Control = refusePrivate
	}
	return d.DialContext(ctx, network, addr)
}

// refusePrivate is a net.Dialer's Control.
func refusePrivate(_, addr string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	if !isPublic(a.Addr()) {
		return fmt.Errorf("%s is no public address, and is not the configured host with allow_private", a.Addr())
	}
	return nil
}
