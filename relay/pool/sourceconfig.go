package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxSources bounds the [[source]] tables: each message looks at all of them.
const maxSources = 256

// SourceConfig is one [[source]] table: an address of this host, the name it greets with, and its share of the mail.
type SourceConfig struct {
	Name     string     `toml:"name"`
	Address  netip.Addr `toml:"address"`   // over IPv4; without it the source cannot reach hosts that have IPv4 alone
	Address6 netip.Addr `toml:"address6"`  // over IPv6, in the same way
	Helo     string     `toml:"helo_name"` // name in EHLO; "": smtp.helo_name
	Weight   int        `toml:"weight"`    // share of the mail, beside the weights of the other sources
	Reserved bool       `toml:"reserved"`  // for the tenants and sites that name it, and for no other mail
	Warmup   []Warmup   `toml:"warmup"`
}

// SetDefaults fills in the keys that a table need not have.
func (c *SourceConfig) SetDefaults() { c.Weight = 1 }

// ValidateSources returns what is wrong with the [[source]] tables, joined: each error begins with its key. It does not judge
// the names in EHLO, and does not look at this host's addresses: see cmd/config and cmd/daemon.
func ValidateSources(list []SourceConfig) error {
	var errs []error
	if len(list) > maxSources {
		errs = append(errs, fmt.Errorf("source: %d sources are more than %d", len(list), maxSources))
	}
	names := make(map[string]int)
	addrs := make(map[netip.Addr]string)
	for i := range list {
		c, at := &list[i], fmt.Sprintf("source[%d].", i)
		for _, err := range c.faults() {
			errs = append(errs, fmt.Errorf("%s%w", at, err))
		}
		if first, twice := names[c.Name]; twice && c.Name != "" {
			errs = append(errs, fmt.Errorf("%sname: %q is the name of source[%d] too; give each its own", at, c.Name, first))
		} else {
			names[c.Name] = i
		}
		for _, f := range c.addresses() {
			if owner, twice := addrs[f.addr]; twice {
				errs = append(errs, fmt.Errorf("%s%s: %s is the address of source %q too; receivers could not tell the two apart", at, f.key, f.addr, owner))
			}
			addrs[f.addr] = c.Name
		}
	}
	return errors.Join(errs...)
}

// addressKey is an address and the key that gives it.
type addressKey struct {
	key  string
	addr netip.Addr
}

// addresses lists the addresses that are given.
func (c *SourceConfig) addresses() (list []addressKey) {
	for _, f := range []addressKey{{"address", c.Address}, {"address6", c.Address6}} {
		if f.addr.IsValid() {
			list = append(list, f)
		}
	}
	return list
}

// faults is what is wrong with one source by itself.
func (c *SourceConfig) faults() (errs []error) {
	if c.Name == "" || len(c.Name) > 64 || strings.ContainsFunc(c.Name, func(r rune) bool { return !isNameRune(r) }) {
		errs = append(errs, fmt.Errorf(`name: %q is no name; use at most 64 letters, digits, "-", "_" and ".", like "news-1"`, c.Name))
	}
	if c.Weight < 1 {
		errs = append(errs, fmt.Errorf("weight: %d is less than 1; reserved = true keeps mail away that does not name the source", c.Weight))
	}
	if c.Weight > maxWeight {
		errs = append(errs, fmt.Errorf("weight: %d is more than %d", c.Weight, maxWeight))
	}
	return append(append(errs, c.addressFaults()...), warmupFaults(c.Warmup)...)
}

// maxWeight keeps the sum of all weights far from overflow.
const maxWeight = 1_000_000

// isNameRune reports whether a source's name may have r: the name stands in logs and lists, and is written in other tables.
func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
}

// addressFaults wants at least one address, and each in its family. A packet must be able to come from it.
func (c *SourceConfig) addressFaults() (errs []error) {
	given := c.addresses()
	if len(given) == 0 {
		errs = append(errs, errors.New("address: is missing; give address, address6 or both"))
	}
	for _, f := range given {
		switch {
		case f.addr.IsUnspecified() || f.addr.IsMulticast():
			errs = append(errs, fmt.Errorf("%s: nothing can be sent from %s", f.key, f.addr))
		case f.key == "address" && !f.addr.Is4():
			errs = append(errs, fmt.Errorf("address: %s is no IPv4 address; write it as address6", f.addr))
		case f.key == "address6" && (!f.addr.Is6() || f.addr.Is4In6()):
			errs = append(errs, fmt.Errorf("address6: %s is no IPv6 address; write it as address", f.addr))
		}
	}
	return errs
}

// warmupFaults judges the plans of one source. A provider has one plan.
func warmupFaults(plans []Warmup) (errs []error) {
	seen := make(map[string]int)
	for i := range plans {
		w, at := &plans[i], fmt.Sprintf("warmup[%d].", i)
		for _, err := range w.faults() {
			errs = append(errs, fmt.Errorf("%s%w", at, err))
		}
		names := w.Providers
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
			first, twice := seen[name]
			switch {
			case twice && name == "":
				errs = append(errs, fmt.Errorf("%sproviders: is missing, as in warmup[%d]; one plan alone may be for all other providers", at, first))
			case twice:
				errs = append(errs, fmt.Errorf("%sproviders: %q has a plan in warmup[%d]", at, name, first))
			}
			seen[name] = i
		}
	}
	return errs
}
