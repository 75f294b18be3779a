package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/millrace/millrace/filter/milter"
)

// sockets judges all sockets of the daemon against each other: no two can be opened at one place, and a bounce injected
// into our own milter port is a dialogue in which nobody speaks SMTP.
func (v *verdict) sockets(c *Config) {
	for i, spec := range c.Milter.Listen {
		key := fmt.Sprintf("milter.listen[%d]", i)
		network, address, err := milter.ParseListen(spec)
		if err != nil {
			continue // milter.Config.Validate has said so
		}
		if network == "unix" && address == c.Control.Socket {
			v.of(key, errors.New("is the control socket too; give each its own"))
		}
		if n, err := strconv.Atoi(portOf(address)); network != "unix" && err == nil && n > 65535 {
			v.of(key, fmt.Errorf("%q: there is no port %d; ports go to 65535", spec, n))
		}
		for k, other := range c.Milter.Listen[:i] {
			if n, a, err := milter.ParseListen(other); err == nil && collide(network, address, n, a) {
				v.of(key, fmt.Errorf("%q is milter.listen[%d] again (%q); leave one of them out", spec, k, other))
				break
			}
		}
		if network != "unix" && collide(network, address, "tcp", c.Bounce.Inject) {
			v.of("bounce.inject", fmt.Errorf("%q is our own milter port (%s); name an SMTP listener of your MTA", c.Bounce.Inject, key))
		}
	}
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
	return host == host2 || wildcard(host) || wildcard(host2) || loopback(host) && host2 == "localhost" || host == "localhost" && loopback(host2)
}

func wildcard(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsUnspecified()
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
