package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// hop is a static next hop: an address, a host, or a domain whose MX hosts are
// used.
type hop struct {
	addr netip.Addr // valid: dial this, ask no name server
	host string     // otherwise: the name to look up
	mx   bool       // host has MX records to follow
	port uint16     // 0: Config.Port
}

// site is the roll-up key of a static next hop: its normal spelling.
func (h hop) site(port uint16) string {
	name := h.host
	if h.addr.IsValid() {
		name = h.addr.String()
	}
	if !h.mx {
		name = "[" + name + "]"
	}
	return name + ":" + strconv.Itoa(int(port))
}

// portOr is the hop's port, or the default.
func (h hop) portOr(def uint16) uint16 {
	if h.port != 0 {
		return h.port
	}
	return def
}

// Table is the static routing table: which domains have a next hop that DNS
// does not decide. The zero value has none.
type Table struct {
	hops map[string]hop
}

// ParseTable reads the table from the configuration. Keys are "domain",
// ".parent" (all domains below parent, not parent itself) or "*". Values are
// next hops as Postfix writes them: "[host]:port" for one host, "host:port" for
// the MX hosts of a domain, each with or without the port; addresses stand in
// brackets. All errors are reported, each with its key and a repair.
func ParseTable(m map[string]string) (Table, error) {
	t := Table{hops: make(map[string]hop, len(m))}
	var errs []error
	for _, key := range sortedKeys(m) {
		if err := t.add(key, m[key]); err != nil {
			errs = append(errs, fmt.Errorf("route %q: %w", key, err))
		}
	}
	if len(errs) > 0 {
		return Table{}, errors.Join(errs...)
	}
	return t, nil
}

// sortedKeys makes errors come in the same order each time.
func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// add puts one line into the table.
func (t Table) add(key, value string) error {
	name, err := tableKey(key)
	if err != nil {
		return err
	}
	if _, twice := t.hops[name]; twice {
		return fmt.Errorf("is given twice, in different spellings; remove one")
	}
	h, err := parseHop(value)
	if err != nil {
		return fmt.Errorf("next hop %q: %w", value, err)
	}
	t.hops[name] = h
	return nil
}

// tableKey normalises a key.
func tableKey(key string) (string, error) {
	if key == "*" {
		return key, nil
	}
	rest, parent := strings.CutPrefix(key, ".")
	name, err := Domain(rest)
	if err != nil || parent && name[0] == '[' {
		return "", errors.New(`is no domain; write "example.com", ".example.com" or "*"`)
	}
	if parent {
		return "." + name, nil
	}
	return name, nil
}

// parseHop reads a next hop in Postfix's syntax.
func parseHop(s string) (hop, error) {
	if strings.HasPrefix(s, "[") {
		return parseBracketed(s)
	}
	host, portText, found := strings.Cut(s, ":")
	port, err := parsePort(portText, found)
	if err != nil {
		return hop{}, err
	}
	if _, err := netip.ParseAddr(host); err == nil || strings.Contains(portText, ":") {
		return hop{}, errors.New(`is an address; write it in brackets, "[192.0.2.1]:25"`)
	}
	name, err := Domain(host)
	if err != nil {
		return hop{}, errors.New(`is no host; write "host:port" or "[host]:port"`)
	}
	return hop{host: name, mx: true, port: port}, nil
}

// parseBracketed reads "[host]", "[host]:port" and the same with an address.
func parseBracketed(s string) (hop, error) {
	inner, rest, closed := strings.Cut(s[1:], "]")
	if !closed {
		return hop{}, errors.New(`lacks the closing bracket; write "[host]:port"`)
	}
	portText, found := strings.CutPrefix(rest, ":")
	if rest != "" && !found {
		return hop{}, errors.New(`has something after the bracket; write "[host]:port"`)
	}
	port, err := parsePort(portText, found)
	if err != nil {
		return hop{}, err
	}
	text, _ := cutTag(inner)
	if a, err := netip.ParseAddr(text); err == nil {
		if a.IsUnspecified() || a.IsMulticast() || a.Unmap() == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return hop{}, errors.New(`is no address of one host; write the host's own, like "[192.0.2.1]:25"`)
		}
		return hop{addr: a.Unmap(), port: port}, nil
	}
	name, err := Domain(inner)
	if err != nil || name[0] == '[' {
		return hop{}, errors.New(`has no host in the brackets; write "[host]:port"`)
	}
	return hop{host: name, port: port}, nil
}

// parsePort reads the port of a next hop; 0 when there is none.
func parsePort(text string, found bool) (uint16, error) {
	if !found {
		return 0, nil
	}
	if strings.Contains(text, ":") {
		return 0, errors.New(`is an address; write it in brackets, "[2001:db8::1]:25"`)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q is no number from 1 to 65535; write \"host:25\"", text)
	}
	return uint16(n), nil
}

// find looks a normalised domain up: itself, then its parents from the nearest
// on, then "*".
func (t Table) find(domain string) (hop, bool) {
	if len(t.hops) == 0 {
		return hop{}, false
	}
	if h, ok := t.hops[domain]; ok {
		return h, true
	}
	for i := strings.IndexByte(domain, '.'); i >= 0; {
		if h, ok := t.hops[domain[i:]]; ok {
			return h, true
		}
		next := strings.IndexByte(domain[i+1:], '.')
		if next < 0 {
			break
		}
		i += next + 1
	}
	h, ok := t.hops["*"]
	return h, ok
}
