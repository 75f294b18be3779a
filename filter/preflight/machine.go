package preflight

import (
	"net/netip"
	"slices"
	"strings"
)

// Source is an address that mail is sent from, and what DNS says of it.
type Source struct {
	Addr  netip.Addr
	Helo  string   // the name in EHLO
	Names []string // of its PTR records
	Back  []string // those of Names that have the address
}

// ExamineMachine returns the faults that all mail has which leaves by these addresses. clear says that TLS is off everywhere.
func ExamineMachine(sources []Source, clear bool) []Fault {
	var found faults
	for _, s := range sources {
		found.source(&s)
	}
	if clear {
		found.add("tls-off", "no mail is sent over TLS")
	}
	return found
}

func (f *faults) source(s *Source) {
	same := func(name string) bool { return strings.EqualFold(strings.TrimSuffix(name, "."), s.Helo) }
	switch {
	case len(s.Names) == 0:
		f.add("ptr-missing", "%s has no PTR record", s.Addr)
	case len(s.Back) == 0:
		f.add("ptr-not-back", "%s is called %s, and no such name has the address", s.Addr, short(strings.Join(s.Names, ", ")))
	case !strings.HasPrefix(s.Helo, "[") && !slices.ContainsFunc(s.Back, same):
		f.add("ptr-not-helo", "%s is called %s, and says %s in EHLO", s.Addr, short(strings.Join(s.Back, ", ")), s.Helo)
	}
}
