package pool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// Rule is one [[site]] table: what the admin says about the sites that it names. A key that is not given falls through to the
// next wider rule, then to [pool], whose limits the table of providers (provider.go) may lower.
//
// A rule has one or more of the conditions mx, domain and provider. If it has several, all must hold; of the elements of a
// list, one must.
type Rule struct {
	Name string `toml:"name"` // for status and log; default: its first condition

	MX       []string `toml:"mx"`       // suffixes of host names of the MX set: "google.com" is itself and all below, ".google.com" all below
	Domain   []string `toml:"domain"`   // recipients' domains as in [route]: "example.com" is itself, ".example.com" all below
	Provider string   `toml:"provider"` // a name of the table of providers, such as "gmail"

	Connections           int               `toml:"connections"`             // open at the site at the same time, from one source address
	Rate                  relay.MessageRate `toml:"rate"`                    // at most, to the site, from one source address
	MessagesPerConnection int               `toml:"messages_per_connection"` // then QUIT and a new one
	RecipientsPerMessage  int               `toml:"recipients_per_message"`  // in one transaction
	DomainsPerTransaction int               `toml:"domains_per_transaction"` // of the recipients of one transaction
	TLS                   string            `toml:"tls"`                     // a mode of pool.tls
	BDAT                  string            `toml:"bdat"`                    // as pool.bdat
	Source                string            `toml:"source"`                  // the name of a [[source]]
	Quiet                 []string          `toml:"quiet"`                   // hours in which nothing is sent, in local time: "22:00-06:00"
}

// Terms is what holds for one site: the rules that match it, resolved.
type Terms struct {
	Provider string // "gmail", "microsoft", …; "" for one that the table of providers does not know
	Rule     string // the name of the narrowest [[site]] that matches; "" for none
	Split    string // not "" when a rule by domain makes a site of its own out of an MX set: the suffix of its key

	Connections           int               // at most, from one source address
	ConnectionsBy         string            // who says so, for status: "[[site]] news", "provider gmail" or "[pool]"
	Rate                  relay.MessageRate // at most, from one source address; 0: no limit
	RateBy                string            // who says so, for status; "": nobody
	MessagesPerConnection int               // at most
	Recipients            int               // at most in one transaction; 0: no rule says
	Domains               int               // at most in one transaction; 0: no rule says
	TLS                   string            // a mode of pool.tls
	BDAT                  string            // "on" or "off"
	Source                string            // the name of a [[source]]; "": no rule says

	QuietBy string // who set the quiet hours, for status; "": nobody
	quiet   []quietHours
}

// Rules is all that is configured about sites, made ready. It is immutable; a reload makes another one.
type Rules struct {
	rules   []siteRule             // in the file's order, then the table of providers, then [pool]
	domains map[string]*domainRule // "example.com", ".example.com"
	hosts   map[string]*hostRule   // by suffix, without a leading dot; with each suffix, those that it ends with
	byName  map[string][]int       // by provider: the rules that have this condition alone
}

// siteRule is a Rule made ready.
type siteRule struct {
	Rule
	index   int    // of the file; -1: it is not from the file
	by      string // Terms.ConnectionsBy
	several bool   // it has more than one kind of condition
	mx      []hostPattern
	domain  []string
	quiet   []quietHours
}

// hostPattern is one element of mx.
type hostPattern struct {
	suffix string // without a leading dot
	below  bool   // the name itself does not match
}

// hostRule is what a suffix of host names stands for.
type hostRule struct {
	all      []int // rules for the name and all below
	below    []int // rules for all below
	provider int   // a place in the table of providers, from 1; 0: none
	longer   bool  // other suffixes end with this one
}

// domainRule is what a recipient's domain, or all domains below it, stand for.
type domainRule struct {
	rules []int
	split string // Terms.Split of a domain for which this is the narrowest
}

// match is a rule that matches, and how narrow the condition is by which it was found. The narrower the greater.
type match struct{ rule, rank int }

// The ranks of conditions. To the rank of a suffix its length is added.
const (
	rankPool = iota
	rankShipped
	rankProvider
	rankMX     = 1 << 10
	rankParent = 1 << 12
	rankDomain = 1 << 14
)

// CompileRules makes the rules of the file and the table of providers ready, over the [pool] table base. The error joins all
// mistakes; each begins with its key, like "site[1].mx[0]".
func CompileRules(rules []Rule, base Config) (*Rules, error) {
	r := &Rules{domains: make(map[string]*domainRule), hosts: make(map[string]*hostRule), byName: make(map[string][]int)}
	var errs []error
	for i, rule := range rules {
		c, err := compileRule(rule, i)
		if err == nil {
			err = r.nameOf(&c)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.index(c)
	}
	for i, p := range providers {
		for _, suffix := range p.mx {
			r.host(suffix).provider = i + 1
		}
		r.index(siteRule{Rule: p.rule(base), index: -1, by: "provider " + p.name})
	}
	r.rules = append(r.rules, siteRule{index: -1, by: "[pool]", Rule: Rule{
		Connections: base.ConnectionsPerSite, MessagesPerConnection: base.MessagesPerConnection, TLS: base.TLS, BDAT: base.BDAT,
	}})
	r.split()
	return r, errors.Join(errs...)
}

// nameOf gives a rule without a name the name of its first condition, and sees to it that no two have the same one.
func (r *Rules) nameOf(c *siteRule) error {
	given := c.Name != ""
	if !given {
		c.Name = cmp.Or(append(append(slices.Clone(c.Domain), c.MX...), c.Provider)...)
	}
	if r.Has(c.Name) {
		if given {
			return fmt.Errorf("site[%d].name: %q is the name of a rule above; give each its own", c.index, c.Name)
		}
		c.Name = fmt.Sprintf("%s-%d", c.Name, c.index+1)
	}
	c.by = "[[site]] " + c.Name
	return nil
}

// index adds a rule under its narrowest condition. Its other conditions are asked when it was found.
func (r *Rules) index(c siteRule) {
	i := len(r.rules)
	r.rules = append(r.rules, c)
	switch {
	case len(c.domain) > 0:
		for _, key := range c.domain {
			if r.domains[key] == nil {
				r.domains[key] = new(domainRule)
			}
			r.domains[key].rules = append(r.domains[key].rules, i)
		}
	case len(c.mx) > 0:
		for _, p := range c.mx {
			if h := r.host(p.suffix); p.below {
				h.below = append(h.below, i)
			} else {
				h.all = append(h.all, i)
			}
		}
	default:
		r.byName[c.Provider] = append(r.byName[c.Provider], i)
	}
}

// host is the entry of a suffix. It makes the entry, and those of all that the suffix ends with.
func (r *Rules) host(suffix string) *hostRule {
	if h := r.hosts[suffix]; h != nil {
		return h
	}
	h := new(hostRule)
	r.hosts[suffix] = h
	if _, tail, found := strings.Cut(suffix, "."); found {
		r.host(tail).longer = true
	}
	return h
}

// split gives each domain that rules name the suffix of its site's key: the names of all rules that may speak for it, because
// domains that share a site must share its terms.
func (r *Rules) split() {
	for key, d := range r.domains {
		var names []string
		for k := range domainKeys(key) {
			if r.domains[k] == nil {
				continue
			}
			for _, i := range r.domains[k].rules {
				if name := r.rules[i].Name; !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		d.split = "#" + strings.Join(names, "+")
	}
}

// splits reports whether some rule makes sites of its own.
func (r *Rules) splits() bool { return len(r.domains) > 0 }

// domainKeys are the keys under which rules for a domain stand: itself, then ".parent" from the nearest on. The keys of
// ".example.com" are itself and its parents.
func domainKeys(domain string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield(domain) {
			return
		}
		for i := 1; i < len(domain); i++ {
			if domain[i] == '.' && !yield(domain[i:]) {
				return
			}
		}
	}
}

// Has reports whether a [[site]] has that name.
func (r *Rules) Has(name string) bool {
	return slices.ContainsFunc(r.rules, func(c siteRule) bool { return c.index >= 0 && c.Name == name })
}

// For resolves the rules for the mail of one domain, normalised as route.Domain does it. The narrower rule wins, key by key: one
// by domain before one by MX suffix, a longer suffix before a shorter one, then one by provider, then the table of providers,
// then [pool]. Of two equally narrow ones the first in the file wins. For may be called for each message: it neither locks nor
// allocates.
func (r *Rules) For(to *route.Route, domain string) Terms {
	var room [16]match
	var t Terms
	found, p := r.ofHosts(room[:0], to)
	if p > 0 {
		t.Provider = providers[p-1].name
		for _, i := range r.byName[t.Provider] {
			rank := rankProvider
			if r.rules[i].index < 0 {
				rank = rankShipped
			}
			found = insert(found, match{i, rank})
		}
	}
	found = r.ofDomain(found, to, domain, &t)
	for _, m := range insert(found, match{len(r.rules) - 1, rankPool}) {
		if c := &r.rules[m.rule]; m.rank >= rankParent || c.holds(to, t.Provider) {
			t.fill(c)
		}
	}
	return t
}

// Provider is the name of the provider whose hosts to has; "" when the table of providers does not know them.
func (r *Rules) Provider(to *route.Route) string {
	var room [16]match
	if _, p := r.ofHosts(room[:0], to); p > 0 {
		return providers[p-1].name
	}
	return ""
}

// ofHosts finds the rules for any host of the MX set, and the provider of the hosts that are tried first: a provider that is only
// the backup of somebody's own host says nothing about that host.
func (r *Rules) ofHosts(found []match, to *route.Route) (_ []match, provider int) {
	if to == nil {
		return found, 0
	}
	for _, host := range to.Hosts {
		own := 0
		for at := len(host.Name) + 1; at > 0; {
			at = strings.LastIndexByte(host.Name[:at-1], '.') + 1
			h := r.hosts[host.Name[at:]]
			if h == nil {
				break
			}
			own = cmp.Or(h.provider, own)
			found = h.add(found, len(host.Name)-at, at == 0)
			if !h.longer {
				break
			}
		}
		if own > 0 && host.Pref == to.Hosts[0].Pref && (provider == 0 || own < provider) {
			provider = own
		}
	}
	return found, provider
}

// add adds the rules for a suffix of that length. whole says that it is a whole name.
func (h *hostRule) add(found []match, length int, whole bool) []match {
	rank := rankMX + 2*length
	for _, i := range h.all {
		found = insert(found, match{i, rank})
	}
	if !whole {
		for _, i := range h.below {
			found = insert(found, match{i, rank + 1})
		}
	}
	return found
}

// ofDomain finds the rules for the domain, and the suffix of its site's key.
func (r *Rules) ofDomain(found []match, to *route.Route, domain string, t *Terms) []match {
	if len(r.domains) == 0 {
		return found
	}
	for key := range domainKeys(domain) {
		rank := rankParent + len(key)
		if key == domain {
			rank = rankDomain
		}
		d := r.domains[key]
		if d == nil {
			continue
		}
		for _, i := range d.rules {
			if r.rules[i].holds(to, t.Provider) {
				found = insert(found, match{i, rank})
				t.Split = cmp.Or(t.Split, d.split)
			}
		}
	}
	return found
}

// insert keeps found in order, the narrowest first. A rule that was found by a condition as narrow is left out.
func insert(found []match, m match) []match {
	at := len(found)
	for i, f := range found {
		if f.rule == m.rule && f.rank >= m.rank {
			return found
		}
		if at == len(found) && (f.rank < m.rank || f.rank == m.rank && f.rule > m.rule) {
			at = i
		}
	}
	found = append(found, match{})
	copy(found[at+1:], found[at:])
	found[at] = m
	return found
}

// holds asks the conditions by which a rule with several was not found.
func (c *siteRule) holds(to *route.Route, provider string) bool {
	if !c.several {
		return true
	}
	return (c.Provider == "" || c.Provider == provider) && (len(c.mx) == 0 || c.meets(to))
}

// meets reports whether a host of the MX set has one of the rule's suffixes.
func (c *siteRule) meets(to *route.Route) bool {
	if to == nil {
		return false
	}
	for _, host := range to.Hosts {
		for _, p := range c.mx {
			if p.matches(host.Name) {
				return true
			}
		}
	}
	return false
}

// matches reports whether a host's name has the suffix, at the beginning of a label.
func (p hostPattern) matches(name string) bool {
	if len(name) == len(p.suffix) {
		return !p.below && name == p.suffix
	}
	above := len(name) - len(p.suffix) - 1
	return above > 0 && name[above] == '.' && name[above+1:] == p.suffix
}

// fill takes over what the rule gives and no narrower rule has given.
func (t *Terms) fill(c *siteRule) {
	if c.index >= 0 {
		t.Rule = cmp.Or(t.Rule, c.Name)
	}
	if t.Connections == 0 && c.Connections > 0 {
		t.Connections, t.ConnectionsBy = c.Connections, c.by
	}
	if t.Rate == 0 && c.Rate > 0 {
		t.Rate, t.RateBy = c.Rate, c.by
	}
	t.MessagesPerConnection = cmp.Or(t.MessagesPerConnection, c.MessagesPerConnection)
	t.Recipients = cmp.Or(t.Recipients, c.RecipientsPerMessage)
	t.Domains = cmp.Or(t.Domains, c.DomainsPerTransaction)
	t.TLS = cmp.Or(t.TLS, c.TLS)
	t.BDAT = cmp.Or(t.BDAT, c.BDAT)
	t.Source = cmp.Or(t.Source, c.Source)
	if t.quiet == nil && c.quiet != nil {
		t.quiet, t.QuietBy = c.quiet, c.by
	}
}
