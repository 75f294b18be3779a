package route

import (
	"math/rand/v2"
	"net/netip"
)

// maxPlan bounds the addresses of one connection attempt (Postfix's
// smtp_mx_address_limit).
const maxPlan = 5

// Address is one place to connect to.
type Address struct {
	// Host is the receiver's name, for TLS and logs.
	Host string
	// AddrPort is where it listens.
	AddrPort netip.AddrPort
}

// Plan says which addresses one connection attempt tries, and in which order:
// the best preference first, equal ones shuffled anew by each call, IPv6 and
// IPv4 taking turns, at most five in all and of both families if there are
// both. A Route with an error has an empty plan.
func (rt *Route) Plan() []Address {
	plan := make([]Address, 0, maxPlan)
	var spare Address
	for rest := rt.Hosts; len(rest) > 0; {
		n := equals(rest)
		for _, a := range rt.level(rest[:n]) {
			switch {
			case len(plan) < maxPlan:
				plan = append(plan, a)
			case !spare.AddrPort.IsValid() && oneFamily(plan, a):
				spare = a
			}
		}
		rest = rest[n:]
	}
	if spare.AddrPort.IsValid() {
		// A family that cannot be reached must not take up the whole plan.
		plan[maxPlan-1] = spare
	}
	return plan
}

// equals counts how many hosts share the first one's preference.
func equals(hosts []Host) int {
	n := 1
	for n < len(hosts) && hosts[n].Pref == hosts[0].Pref {
		n++
	}
	return n
}

// level orders the addresses of equally good hosts: shuffled, then the
// families interleaved, either of them first.
func (rt *Route) level(hosts []Host) []Address {
	var families [2][]Address
	total := 0
	for _, h := range hosts {
		for _, a := range h.Addrs {
			f := family(a)
			families[f] = append(families[f], Address{h.Name, netip.AddrPortFrom(a, rt.Port)})
			total++
		}
	}
	chance := rt.chance
	if chance == nil {
		chance = rand.IntN
	}
	for _, f := range families {
		for i := len(f) - 1; i > 0; i-- {
			j := chance(i + 1)
			f[i], f[j] = f[j], f[i]
		}
	}
	out := make([]Address, 0, total)
	for turn := chance(2); len(out) < total; turn = 1 - turn {
		if f := families[turn]; len(f) > 0 {
			out, families[turn] = append(out, f[0]), f[1:]
		}
	}
	return out
}

// family is 0 for IPv4 and 1 for IPv6.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// oneFamily reports whether a's family is missing from the plan.
func oneFamily(plan []Address, a Address) bool {
	for _, p := range plan {
		if family(p.AddrPort.Addr()) == family(a.AddrPort.Addr()) {
			return false
		}
	}
	return true
}
