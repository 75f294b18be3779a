package setup

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/filter"
)

// milterRef is a milter as an MTA names it.
type milterRef struct {
	place   string            // of the list that names it
	text    string            // as it stands there
	address string            // "inet:host:port" or "unix:/path"
	options map[string]string // of Postfix: what stands behind the address in braces
}

// parseMilter reads one element of smtpd_milters.
func parseMilter(word string) milterRef {
	m := milterRef{text: word, address: word, options: make(map[string]string)}
	inner, braced := unbraced(word)
	if !braced {
		return m
	}
	parts := words(inner)
	if len(parts) == 0 {
		return m
	}
	m.address = parts[0]
	for _, part := range parts[1:] {
		part, _ = unbraced(part)
		if name, value, ok := assignment(part); ok {
			m.options[name] = value
		}
	}
	return m
}

// resolve finds the socket that Postfix means. A path without a leading slash begins in the queue directory, and to a
// service in a chroot so does every path.
func (m *milterRef) resolve(queue string, chroot bool) {
	kind, path, ok := strings.Cut(m.address, ":")
	if !ok || kind != "unix" && kind != "local" {
		return
	}
	if chroot || !filepath.IsAbs(path) {
		path = filepath.Join(queue, path)
	}
	m.address = "unix:" + filepath.Clean(path)
}

// meets reports whether the milter is at one of the addresses of milter.listen.
func (m *milterRef) meets(listen []string) bool {
	network, address, err := filter.ParseListen(m.address)
	if err != nil {
		return false
	}
	for _, l := range listen {
		ourNetwork, ours, err := filter.ParseListen(l)
		if err != nil || (network == "unix") != (ourNetwork == "unix") {
			continue
		}
		if network == "unix" && filepath.Clean(ours) == address || network != "unix" && sameSocket(ours, address) {
			return true
		}
	}
	return false
}

// sameSocket reports whether who connects to the address theirs meets a listener at ours.
func sameSocket(ours, theirs string) bool {
	host, port, err := net.SplitHostPort(ours)
	other, otherPort, otherErr := net.SplitHostPort(theirs)
	if err != nil || otherErr != nil || port != otherPort {
		return false
	}
	return strings.EqualFold(host, other) || unspecified(host) || loopback(host) && loopback(other)
}

func unspecified(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsUnspecified()
}

// loopback knows 127.0.0.1 and ::1 under the name localhost too. It takes one for the other only through that name, and
// for two addresses it wants IPv4, where a listener on the first is usual.
func loopback(host string) bool { return strings.EqualFold(host, "localhost") || host == "127.0.0.1" }
