package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/millrace/millrace/relay/route"
)

// compileRule makes one rule ready, but for its name. Its errors begin with their key.
func compileRule(r Rule, index int) (siteRule, error) {
	c := siteRule{Rule: r, index: index}
	var errs []error
	at := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("site[%d]%s: %w", index, key, err))
		}
	}
	at(".name", checkName(r.Name))
	at("", r.checkWhole())
	for i, s := range r.MX {
		p, err := parseHostPattern(s)
		at(fmt.Sprintf(".mx[%d]", i), err)
		c.mx = append(c.mx, p...)
	}
	for i, s := range r.Domain {
		name, err := parseDomainPattern(s)
		at(fmt.Sprintf(".domain[%d]", i), err)
		c.domain = append(c.domain, name)
	}
	at(".provider", checkProvider(r.Provider))
	for _, n := range r.numbers() {
		if n.value < 0 {
			at("."+n.key, fmt.Errorf("%d is less than 1", n.value))
		}
	}
	if r.TLS != "" && r.TLS != "opportunistic" && r.TLS != "none" {
		at(".tls", fmt.Errorf(`%q is not a mode; use "opportunistic" or "none"`, r.TLS))
	}
	if r.BDAT != "" && r.BDAT != "on" && r.BDAT != "off" {
		at(".bdat", fmt.Errorf(`%q is neither "on" nor "off"`, r.BDAT))
	}
	quiet, err := parseQuiet(r.Quiet)
	at(".quiet", err)
	c.quiet = quiet
	c.several = kinds(len(r.MX) > 0, len(r.Domain) > 0, r.Provider != "") > 1
	return c, errors.Join(errs...)
}

// kinds counts what is given.
func kinds(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}

// checkName refuses names that would not fit in a log line or in the key of a site.
func checkName(name string) error {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"#+,`, r) }
	if strings.ContainsFunc(name, odd) {
		fit := strings.Map(func(r rune) rune {
			if odd(r) {
				return '-'
			}
			return r
		}, name)
		return fmt.Errorf("%q has characters that do not fit in a log line; write it like %q", name, fit)
	}
	return nil
}

// checkWhole finds a rule that matches nothing, and one that says nothing about what it matches.
func (r Rule) checkWhole() error {
	switch {
	case len(r.MX) == 0 && len(r.Domain) == 0 && r.Provider == "":
		return errors.New("the rule has no condition, so it matches no site; give mx, domain or provider. For all sites there is [pool]")
	case len(r.given()) == 0:
		return fmt.Errorf("the rule gives nothing; give one of %s", strings.Join(termKeys, ", "))
	}
	return nil
}

// termKeys are the keys by which a rule says something about its sites.
var termKeys = []string{"connections", "rate", "messages_per_connection", "recipients_per_message", "domains_per_transaction", "tls", "bdat", "source", "quiet"}

// given lists the keys of termKeys that the rule has.
func (r Rule) given() []string {
	has := []bool{r.Connections != 0, r.Rate != 0, r.MessagesPerConnection != 0, r.RecipientsPerMessage != 0,
		r.DomainsPerTransaction != 0, r.TLS != "", r.BDAT != "", r.Source != "", len(r.Quiet) > 0}
	var keys []string
	for i, key := range termKeys {
		if has[i] {
			keys = append(keys, key)
		}
	}
	return keys
}

// number is a key and its value.
type number struct {
	key   string
	value int
}

// numbers lists the whole numbers of r.
func (r Rule) numbers() []number {
	return []number{{"connections", r.Connections}, {"messages_per_connection", r.MessagesPerConnection},
		{"recipients_per_message", r.RecipientsPerMessage}, {"domains_per_transaction", r.DomainsPerTransaction}}
}

// parseHostPattern reads an element of mx. An address stands for a next hop of [route], and for an address literal as a
// recipient's domain; the two have different names, so it becomes two patterns.
func parseHostPattern(s string) ([]hostPattern, error) {
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if a, err := netip.ParseAddr(bare); err == nil {
		literal, err := route.Domain("[" + a.String() + "]")
		if a.Is6() {
			literal, err = route.Domain("[IPv6:" + a.String() + "]")
		}
		return []hostPattern{{suffix: a.String()}, {suffix: literal}}, err
	}
	if err := checkPattern(s, "a host's name"); err != nil {
		return nil, err
	}
	suffix, below := strings.CutPrefix(s, ".")
	name, err := route.Domain(suffix)
	if err != nil {
		return nil, fmt.Errorf(`%q is no suffix of a host's name; write it like "google.com"`, s)
	}
	return []hostPattern{{suffix: name, below: below}}, nil
}

// parseDomainPattern reads an element of domain.
func parseDomainPattern(s string) (string, error) {
	if err := checkPattern(s, "a domain"); err != nil {
		return "", err
	}
	rest, parent := strings.CutPrefix(s, ".")
	name, err := route.Domain(rest)
	if err != nil || parent && name[0] == '[' {
		return "", fmt.Errorf(`%q is no domain; write "example.com", or ".example.com" for all below`, s)
	}
	if parent {
		name = "." + name
	}
	return name, nil
}

// checkPattern finds patterns of other programs, which would never match here.
func checkPattern(s, wanted string) error {
	_, domain, address := strings.Cut(s, "@")
	below, starred := strings.CutPrefix(s, "*.")
	switch {
	case s == "":
		return errors.New("is empty, so it never matches; leave it out")
	case s == "*":
		return errors.New("would be every site; the keys of [pool] are for all sites")
	case address:
		return fmt.Errorf("%q has an @, and is compared with %s; write %q", s, wanted, domain)
	case starred:
		return fmt.Errorf("%q: a pattern here has no *; write %q", s, "."+below)
	case strings.ContainsAny(s, "*/\\^$(|"):
		return fmt.Errorf("%q: a pattern here is %s or its end, like \"example.com\"", s, wanted)
	case strings.ContainsAny(s, " \t,"):
		return fmt.Errorf("%q has a blank or a comma; write a list", s)
	}
	return nil
}

// checkProvider wants a name of the table of providers, or none.
func checkProvider(name string) error {
	var known []string
	for _, p := range providers {
		known = append(known, p.name)
	}
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	slices.Sort(known)
	return fmt.Errorf("%q is not in the table of providers; it knows %s", name, strings.Join(known, ", "))
}

// Overlaps lists the rules that others keep from deciding, as one joined error; nil for none. None is a mistake: the narrower
// rule is there for that, but not every author of a rule knows of the others. Each begins with its key.
func (r *Rules) Overlaps() error {
	var errs []error
	for i := range r.rules {
		for j := range i {
			a, b := &r.rules[j], &r.rules[i]
			if a.index >= 0 && b.index >= 0 {
				errs = append(errs, overlap(a, b))
			}
		}
	}
	return errors.Join(errs...)
}

// overlap tells of the sites that two rules of the file speak for, where both give a key. a stands before b.
func overlap(a, b *siteRule) error {
	var both []string
	for _, key := range b.given() {
		if slices.Contains(a.given(), key) {
			both = append(both, key)
		}
	}
	if len(both) == 0 || a.several || b.several {
		return nil // nothing to decide, or it depends on the domain
	}
	what := strings.Join(both, ", ")
	if at := a.equals(b); at != "" {
		if len(both) == len(b.given()) && a.covers(b) {
			return fmt.Errorf("site[%d]%s: the rule never decides anything: rule %s stands before it, is as narrow, and gives %s too; remove one", b.index, at, a.Name, what)
		}
		return fmt.Errorf("site[%d]%s: is in rule %s too, which stands before it, so what that one says of %s holds there", b.index, at, a.Name, what)
	}
	for _, pair := range [][2]*siteRule{{a, b}, {b, a}} {
		if at := pair[0].within(pair[1]); at != "" {
			return fmt.Errorf("site[%d]%s: matches rule %s too; this rule is narrower, so what it says of %s holds here", pair[0].index, at, pair[1].Name, what)
		}
	}
	return nil
}

// equals is the key of a condition of b that a has too.
func (a *siteRule) equals(b *siteRule) string {
	for i, p := range b.mx {
		if slices.Contains(a.mx, p) {
			return fmt.Sprintf(".mx[%d]", min(i, len(b.MX)-1))
		}
	}
	for i, d := range b.domain {
		if slices.Contains(a.domain, d) {
			return fmt.Sprintf(".domain[%d]", i)
		}
	}
	if b.Provider != "" && b.Provider == a.Provider {
		return ".provider"
	}
	return ""
}

// covers reports whether a has all conditions of b.
func (a *siteRule) covers(b *siteRule) bool {
	for _, p := range b.mx {
		if !slices.Contains(a.mx, p) {
			return false
		}
	}
	for _, d := range b.domain {
		if !slices.Contains(a.domain, d) {
			return false
		}
	}
	return b.Provider == a.Provider
}

// within is the key of a condition of a that matches nothing which a wider one of b does not match too.
func (a *siteRule) within(b *siteRule) string {
	for i, p := range a.mx {
		if slices.ContainsFunc(b.mx, p.within) || b.Provider != "" && p.provider() == b.Provider {
			return fmt.Sprintf(".mx[%d]", min(i, len(a.MX)-1))
		}
	}
	for i, d := range a.domain {
		for _, wide := range b.domain {
			if wide[0] == '.' && len(d) > len(wide) && strings.HasSuffix(d, wide) {
				return fmt.Sprintf(".domain[%d]", i)
			}
		}
	}
	return ""
}

// within reports whether wide matches all that p matches, and more.
func (p hostPattern) within(wide hostPattern) bool {
	return p != wide && (p.suffix == wide.suffix && p.below || wide.matches(p.suffix))
}

// provider is the name of the provider whose hosts alone have the suffix p.
func (p hostPattern) provider() string {
	for _, known := range providers {
		for _, suffix := range known.mx {
			wide := hostPattern{suffix: suffix}
			if wide.matches(p.suffix) {
				return known.name
			}
		}
	}
	return ""
}
