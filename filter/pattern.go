package filter

import (
	"fmt"
	"net/netip"
	"strings"
)

// pattern is a pattern of the shell's kind, in lower case: "*" stands for any text, "?" for one byte.
type pattern string

func newPattern(s string) pattern { return pattern(lower(s)) }

// lower folds ASCII only, byte by byte, so that a text that is not UTF-8 stays the same otherwise.
func lower(s string) string {
	i := 0
	for i < len(s) && s[i] == lowerByte(s[i]) {
		i++
	}
	if i == len(s) { // as most are
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		b[i] = lowerByte(b[i])
	}
	return string(b)
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// match reports whether all of s fits. On a mismatch it goes back to the last "*" only: an earlier one could not do
// better. So the time is at most len(p) * len(s), whatever a stranger sends.
func (p pattern) match(s string) bool {
	var i, j, next int
	star := -1
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, next = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == lowerByte(s[j])):
			i++
			j++
		case star >= 0:
			next++
			i, j = star+1, next
		default:
			return false
		}
	}
	return strings.Trim(string(p[i:]), "*") == ""
}

// senderPattern lets a bare domain stand for every address in it.
func senderPattern(s string) pattern {
	if strings.HasPrefix(s, "@") {
		s = "*" + s
	} else if !strings.Contains(s, "@") && !strings.ContainsAny(s, "*?") {
		s = "*@" + s
	}
	return newPattern(s)
}

// network is the network that s names, or the address as a network of its own. An IPv4 address may be written as IPv6.
func network(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p, true
}

// parseClient makes a test from an address, a network or a pattern for the client's name.
func parseClient(s string) (test, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return func(o *Offer) bool { return o.ClientAddr.Unmap() == a }, nil
	}
	if p, ok := network(s); ok {
		return func(o *Offer) bool { return p.Contains(o.ClientAddr.Unmap()) }, nil
	}
	if bare := strings.Trim(s, "[]"); bare != s {
		return nil, fmt.Errorf("%q has brackets, which are no part of the address; write %q", s, bare)
	}
	// No name of a host looks like this, so a pattern of this kind would never be met.
	if strings.Trim(s, "*?") != "" && strings.Trim(s, "0123456789.*?") == "" || strings.ContainsAny(s, "/:<> ") {
		return nil, fmt.Errorf("%q is neither an address nor a network; write 192.0.2.1, 192.0.2.0/24 or *.example.com", s)
	}
	if dotted := strings.Trim(s, "."); dotted != s {
		return nil, fmt.Errorf("%q: no name of a host begins or ends with a dot; write *.example.com for all hosts below a domain", s)
	}
	name := newPattern(s)
	return func(o *Offer) bool { return name.match(o.ClientName) }, nil
}
