package config

import (
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// listener is one listen address of a door, with its key.
type listener struct{ key, spec string }

// listeners are those of all doors.
func (c *Config) listeners() (all []listener) {
	add := func(key string, specs []string) {
		for i, spec := range specs {
			all = append(all, listener{fmt.Sprintf("%s[%d]", key, i), spec})
		}
	}
	add("milter.listen", c.Milter.Listen)
	add("smtpd.filter", c.SMTPD.Filter)
	add("smtpd.proxy", c.SMTPD.Proxy)
	add("smtpd.submission", c.SMTPD.Submission)
	return all
}

// returns judges mail that the MTA shall offer again: it needs a listener for that.
func (v *verdict) returns(c *Config) {
	if len(c.SMTPD.Filter) > 0 {
		return
	}
	err := errors.New(`has the MTA offer mail to a listener of smtpd.filter, and there is none; give filter = ["inet:127.0.0.1:8896"] in the table [smtpd]`)
	if c.Gate.Overflow == relay.OverflowReturn {
		v.of("gate.overflow", err)
	}
	for i, r := range c.Bulk.Rule {
		if r.Overflow == relay.OverflowReturn {
			v.of(fmt.Sprintf("bulk.rule[%d].overflow", i), err)
		}
	}
}

// sockets judges all sockets of the daemon against each other: no two can be opened at one place, and a bounce injected
// into our own door would go round in a circle.
func (v *verdict) sockets(c *Config) {
	if len(c.Milter.Listen) == 0 && !c.SMTPD.On() {
		v.of("milter.listen", errors.New(`is empty, so the MTA can offer nothing; give ["inet:127.0.0.1:8895"], or a listener in [smtpd]`))
	}
	if c.SMTPD.Reinject == "" && len(c.SMTPD.Submission) > 0 && c.Mode != filter.Deliver {
		v.of("smtpd.reinject", fmt.Errorf("is not given, so mail that is not taken has nowhere to go, and mode = %q takes none; write mode = %q, or give the MTA's listener", c.Mode, filter.Deliver))
	}
	v.returns(c)
	v.of("control.socket", validateSocketPath(c.Control.Socket))
	all := c.listeners()
	for i, l := range all {
		network, address, err := filter.ParseListen(l.spec)
		if err != nil {
			continue // the Validate of its table has said so
		}
		if network == "unix" {
			v.of(l.key, validateSocketPath(address))
			if address == c.Control.Socket {
				v.of(l.key, errors.New("is the control socket too; give each its own"))
			}
		}
		if n, err := strconv.Atoi(portOf(address)); network != "unix" && err == nil && n > 65535 {
			v.of(l.key, fmt.Errorf("%q: there is no port %d; ports go to 65535", l.spec, n))
		}
		for _, other := range all[:i] {
			if n, a, err := filter.ParseListen(other.spec); err == nil && collide(network, address, n, a) {
				v.of(l.key, fmt.Errorf("%q is %s again (%q); leave one of them out", l.spec, other.key, other.spec))
				break
			}
		}
	}
	for key, hop := range c.hops() {
		if l := c.listenerAt(hop); l.key != "" {
			v.of(key, ownDoor(hop, l))
		}
	}
}

// ownDoor says that a next hop is a listener of ours.
func ownDoor(hop string, l listener) error {
	if strings.HasPrefix(l.key, "milter.") {
		return fmt.Errorf("%q is our own milter port (%s), where nobody speaks SMTP; name an SMTP listener", hop, l.key)
	}
	return fmt.Errorf("%q is our own SMTP door (%s), and the mail would go round in a circle; name an SMTP listener of the MTA", hop, l.key)
}

// listenerAt is the first of our listeners at that next hop, or the zero listener.
func (c *Config) listenerAt(hop string) listener {
	for _, l := range c.listeners() {
		network, address, err := filter.ParseListen(l.spec)
		if err == nil && network == "unix" && hop == "unix:"+address {
			return l
		}
		if err != nil || !collide(network, address, "tcp", hop) {
			continue
		}
		ours, _, _ := net.SplitHostPort(address)
		theirs, _, _ := net.SplitHostPort(hop)
		if ours == theirs || !wildcard(ours) || wildcard(theirs) || isLocal(theirs) { // another host may use the same port
			return l
		}
	}
	return listener{}
}

// hops yields every fixed next hop, by key.
func (c *Config) hops() iter.Seq2[string, string] {
	return func(yield func(key, hop string) bool) {
		if !yield("bounce.inject", c.Bounce.Inject) {
			return
		}
		if c.SMTPD.Reinject != "" && !yield("smtpd.reinject", c.SMTPD.Reinject) {
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
