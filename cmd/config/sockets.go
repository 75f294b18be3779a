package config

import (
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/filter"
)

// sockets judges all sockets of the daemon against each other: no two can be opened at one place, and a bounce injected
// into our own milter port is a dialogue in which nobody speaks SMTP.
func (v *verdict) sockets(c *Config) {
	if len(c.Milter.Listen) == 0 {
		v.of("milter.listen", errors.New(`is empty, so the MTA can offer nothing; give ["inet:127.0.0.1:8895"]`))
	}
	v.of("control.socket", validateSocketPath(c.Control.Socket))
	for i, spec := range c.Milter.Listen {
		key := fmt.Sprintf("milter.listen[%d]", i)
		network, address, err := filter.ParseListen(spec)
		if err != nil {
			continue // milter.Config.Validate has said so
		}
		if network == "unix" {
			v.of(key, validateSocketPath(address))
			if address == c.Control.Socket {
				v.of(key, errors.New("is the control socket too; give each its own"))
			}
		}
		if n, err := strconv.Atoi(portOf(address)); network != "unix" && err == nil && n > 65535 {
			v.of(key, fmt.Errorf("%q: there is no port %d; ports go to 65535", spec, n))
		}
		for k, other := range c.Milter.Listen[:i] {
			if n, a, err := filter.ParseListen(other); err == nil && collide(network, address, n, a) {
				v.of(key, fmt.Errorf("%q is milter.listen[%d] again (%q); leave one of them out", spec, k, other))
				break
			}
		}
	}
	for key, hop := range c.hops() {
		if i := c.listenerAt(hop); i >= 0 {
			v.of(key, fmt.Errorf("%q is our own milter port (milter.listen[%d]), where nobody speaks SMTP; name an SMTP listener", hop, i))
		}
	}
}

// listenerAt is the index of the first of our listeners at that next hop, or -1.
func (c *Config) listenerAt(hop string) int {
	return slices.IndexFunc(c.Milter.Listen, func(spec string) bool {
		network, address, err := filter.ParseListen(spec)
		if err != nil || !collide(network, address, "tcp", hop) {
			return false
		}
		ours, _, _ := net.SplitHostPort(address)
		theirs, _, _ := net.SplitHostPort(hop)
		return ours == theirs || !wildcard(ours) || wildcard(theirs) || isLocal(theirs) // another host may use the same port
	})
}

// hops yields every fixed next hop, by key.
func (c *Config) hops() iter.Seq2[string, string] {
	return func(yield func(key, hop string) bool) {
		if !yield("bounce.inject", c.Bounce.Inject) {
			return
		}
		for _, domain := range sortedKeys(c.Route) {
			if !yield(join("route", domain), c.Route[domain]) {
				return
			}
		}
	}
}

// maxSocketPath is how long the path of a unix socket may be: sun_path of unix(7) has 108 bytes with the NUL.
const maxSocketPath = 107

// validateSocketPath judges the path alone. That it begins with / is judged elsewhere.
func validateSocketPath(path string) error {
	switch {
	case strings.HasSuffix(path, "/"):
		return fmt.Errorf("%q names a directory; name the socket in it", path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("the path has %d bytes, and no socket can have more than %d", len(path), maxSocketPath)
	}
	return nil
}

// collide reports whether two sockets are at one place. A wildcard address covers every address; port 0 is another port
// each time.
func collide(network, address, network2, address2 string) bool {
	if network == "unix" || network2 == "unix" {
		return network == network2 && address == address2
	}
	host, port, err := net.SplitHostPort(address)
	host2, port2, err2 := net.SplitHostPort(address2)
	if err != nil || err2 != nil || port != port2 || port == "0" {
		return false
	}
	return host == host2 || wildcard(host) || wildcard(host2) || (host == "localhost" || host2 == "localhost") && isLocal(host) && isLocal(host2)
}

func wildcard(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsUnspecified()
}

// isLocal reports whether host is the loopback interface.
func isLocal(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
