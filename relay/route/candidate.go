package route

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"unique"

	"github.com/miekg/dns"
)

// candidate is an MX host while its addresses are being found.
type candidate struct {
	mxRecord
	addrs     []netip.Addr
	unknown   *answer // why its addresses may be incomplete
	local     bool    // one of its addresses, or its name, is one of this host or its local network
	forbidden bool    // the operator has forbidden one of its addresses
	self      bool    // the host is this machine
}

// resolve finds the addresses of all hosts in one go and makes the Route.
func (x *search) resolve(ctx context.Context, records []mxRecord) finding {
	list := x.lookUp(ctx, records)
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].host
		x.screen(&list[i])
	}
	kept := beforeSelf(list)
	hosts := usable(kept)
	if len(hosts) == 0 {
		return x.none(list, kept)
	}
	x.shorten(kept)
	rt := &Route{Domain: x.domain, Port: x.port, Hosts: hosts, chance: x.cfg.Chance}
	if x.static != nil {
		rt.Site = unique.Make(x.static.site(x.port)).Value()
	} else {
		rt.Site = siteKey(names, x.port)
	}
	return finding{verdict: good, route: rt}
}

// lookUp makes the candidates, with all addresses that DNS has.
func (x *search) lookUp(ctx context.Context, records []mxRecord) []candidate {
	list := make([]candidate, len(records))
	qs := make([]question, 0, 2*len(records))
	for i, r := range records {
		list[i].mxRecord = r
		if x.fixed(&list[i]) {
			continue
		}
		qs = append(qs, question{r.host, dns.TypeA})
		if !x.cfg.IPv4Only {
			qs = append(qs, question{r.host, dns.TypeAAAA})
		}
	}
	if len(qs) == 0 {
		return list
	}
	for i, a := range x.ask(ctx, qs) {
		x.silent = x.silent || a.kind == silent
		j := slices.IndexFunc(list, func(c candidate) bool { return c.host == qs[i].name })
		list[j].addrs = append(list[j].addrs, a.addrs...)
		if a.kind.soft() {
			if list[j].unknown == nil { // the first question tells more: few hosts have AAAA records
				list[j].unknown = &a
			}
			continue
		}
		x.ttl = min(x.ttl, a.ttl)
	}
	return list
}

// shorten gives a Route that is not complete a shorter life. It is the shortest
// when a whole host is missing, as it may be the best one. It is longer when only
// a family is missing, for there are name servers that never answer about IPv6.
func (x *search) shorten(list []candidate) {
	for _, c := range list {
		switch {
		case c.unknown == nil:
		case len(c.addrs) == 0:
			x.ttl = 0
		default:
			x.ttl = min(x.ttl, maxBackoff)
		}
	}
}

// fixed reports whether c needs no lookup: its MX record has an address instead of
// a name, which is against the rules and common, or its name means this machine.
func (x *search) fixed(c *candidate) bool {
	if a, err := netip.ParseAddr(c.host); err == nil {
		c.addrs = addrList(a)
		return true
	}
	c.local = x.static == nil && x.guard.prohibitsName(c.host)
	return c.local
}

// screen drops addresses that may not be used. The operator's own routes are
// not screened.
func (x *search) screen(c *candidate) {
	if x.static != nil {
		return
	}
	// On another port than 25 something else listens at our own address.
	c.self = x.port == 25 && x.guard.isSelf(c.host, c.addrs)
	clean := make([]netip.Addr, 0, len(c.addrs))
	for _, a := range c.addrs {
		switch {
		case x.guard.forbids(a):
			c.forbidden = true
		case x.guard.prohibits(a):
			c.local = true
		default:
			clean = append(clean, a)
		}
	}
	c.addrs = clean
}

// beforeSelf is the list without this host and without the hosts that are no
// better (RFC 5321 §5.1). The list is sorted by preference.
func beforeSelf(list []candidate) []candidate {
	i := slices.IndexFunc(list, func(c candidate) bool { return c.self })
	if i < 0 {
		return list
	}
	worst := list[i].pref
	return list[:slices.IndexFunc(list, func(c candidate) bool { return c.pref >= worst })]
}

// usable makes hosts of the candidates that have addresses.
func usable(list []candidate) []Host {
	hosts := make([]Host, 0, len(list))
	for _, c := range list {
		if len(c.addrs) > 0 {
			hosts = append(hosts, Host{Name: c.host, Pref: c.pref, Addrs: c.addrs})
		}
	}
	return hosts
}

// none is the finding when no host can be used. An unknown host weighs more than
// the known ones: mail is bounced only if no usable host can come to light.
func (x *search) none(list, kept []candidate) finding {
	looped := len(kept) < len(list)
	for _, c := range kept {
		switch {
		case c.unknown == nil:
		case looped && c.unknown.kind != unasked:
			return x.fail(outage, ourselves("4.4.4", "a mail host of "+x.domain+" better than this one cannot be found now: "+x.unanswered(*c.unknown)))
		default:
			return x.soft(*c.unknown)
		}
	}
	for _, c := range list {
		if c.self {
			return x.fail(refused, ourselves("4.4.6", "mail for "+x.domain+" loops back to this host, by its mail host "+c.host))
		}
	}
	for _, c := range kept {
		if c.local {
			return x.fail(refused, ourselves("4.4.6", "mail host "+c.host+" of "+x.domain+" has an address of this host or its local network"))
		}
	}
	for _, c := range kept {
		if c.forbidden {
			return x.fail(refused, permanent(550, "5.4.4", "mail host "+c.host+" of "+x.domain+" has a prohibited address"))
		}
	}
	return x.fail(refused, permanent(550, "5.4.4", x.addressless(kept)))
}

// addressless says which hosts have no address.
func (x *search) addressless(list []candidate) string {
	switch {
	case len(list) == 0:
		return "no MX record of " + x.domain + " names a host"
	case len(list) == 1 && list[0].host == x.domain:
		return x.domain + " has no MX record and no address"
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.host
	}
	return "no mail host of " + x.domain + " has an address: " + strings.Join(names, ", ")
}

// addrList is a list of one.
func addrList(a netip.Addr) []netip.Addr { return []netip.Addr{a} }
