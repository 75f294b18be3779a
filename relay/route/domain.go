package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// ErrDomain is returned (wrapped) when a string cannot be the domain part of a
// mail address.
var ErrDomain = errors.New("not a mail domain")

// Domain normalises the domain part of a mail address to the form that keys
// queues and routes: lower case, no trailing dot, A-labels for labels that are not
// ASCII (RFC 5891). An address literal becomes "[192.0.2.1]" or
// "[ipv6:2001:db8::1]". Underscores pass, because domains with them receive mail.
// The error wraps ErrDomain.
func Domain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return literalDomain(strings.TrimSuffix(s, "."))
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if needsIDNA(name) {
		mapped, err := toASCII(name)
		if err != nil {
			return "", fmt.Errorf("%w: %q: %w", ErrDomain, s, err)
		}
		name = strings.TrimSuffix(mapped, ".")
	}
	if err := checkName(name); err != nil {
		return "", fmt.Errorf("%w: %q: %w", ErrDomain, s, err)
	}
	return name, nil
}

// needsIDNA reports whether a name is not plain ASCII. ASCII names go past the
// library, which is slower and refuses what DNS may have all the same: hyphens in
// places where living domains have them, and A-labels that stand for nothing. DNS
// knows whether such a domain exists.
func needsIDNA(name string) bool {
	for i := range len(name) {
		if name[i] >= 0x80 {
			return true
		}
	}
	return false
}

// toASCII maps a name to A-labels as a client does for a lookup.
func toASCII(name string) (string, error) {
	return idna.New(
		idna.MapForLookup(),
		idna.Transitional(false),
		idna.StrictDomainName(false),
	).ToASCII(name)
}

// checkName applies the limits of RFC 1035 §2.3.4 and the alphabet of host
// names, plus the underscore. The name is lower case.
func checkName(name string) error {
	if len(name) > 253 {
		return errors.New("longer than 253 bytes")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return errors.New("empty label")
		}
		if len(label) > 63 {
			return errors.New("label longer than 63 bytes")
		}
		for i := range len(label) {
			if !nameByte(label[i]) {
				return fmt.Errorf("byte 0x%02x", label[i])
			}
		}
	}
	return nil
}

// nameByte reports whether c may stand in a label.
func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// literalDomain normalises an address literal (RFC 5321 §4.1.3).
func literalDomain(s string) (string, error) {
	a, err := parseLiteral(s)
	if err != nil {
		return "", err
	}
	if a.Is4() {
		return "[" + a.String() + "]", nil
	}
	return "[ipv6:" + a.String() + "]", nil
}

// parseLiteral reads "[192.0.2.1]" or "[IPv6:2001:db8::1]".
func parseLiteral(s string) (netip.Addr, error) {
	inner, ok := strings.CutSuffix(strings.TrimPrefix(s, "["), "]")
	tag, six := cutTag(inner)
	if ok && six {
		inner = tag
	}
	a, err := netip.ParseAddr(inner)
	if !ok || err != nil || a.Is4() == six || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%w: %q: neither [192.0.2.1] nor [IPv6:2001:db8::1]", ErrDomain, s)
	}
	return a, nil
}

// cutTag takes the tag "IPv6:" off, in any case.
func cutTag(s string) (string, bool) {
	const tag = "IPv6:"
	if len(s) >= len(tag) && strings.EqualFold(s[:len(tag)], tag) {
		return s[len(tag):], true
	}
	return s, false
}
