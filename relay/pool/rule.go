package pool

import (
	"time"

	"github.com/millrace/millrace/relay/route"
)

// Rule is one [[site]] table: what the admin says about the sites that it names. A key that is not given falls through to the
// next wider rule, then to the table of providers, then to [pool].
//
// A rule has one or more of the conditions mx, domain and provider. If it has several, all must hold; of the elements of a
// list, one must.
type Rule struct {
	Name string `toml:"name"` // for status and log; default: its first condition

	MX       []string `toml:"mx"`       // suffixes of host names of the MX set: "google.com" is itself and all below, ".google.com" all below
	Domain   []string `toml:"domain"`   // recipients' domains as in [route]: "example.com" is itself, ".example.com" all below
	Provider string   `toml:"provider"` // a name of the table of providers, such as "gmail"

	Connections           int         `toml:"connections"`             // open at the site at the same time, from one source address
	Rate                  MessageRate `toml:"rate"`                    // at most, to the site, from one source address
	MessagesPerConnection int         `toml:"messages_per_connection"` // then QUIT and a new one
	RecipientsPerMessage  int         `toml:"recipients_per_message"`  // in one transaction
	DomainsPerTransaction int         `toml:"domains_per_transaction"` // of the recipients of one transaction
	TLS                   string      `toml:"tls"`                     // a mode of pool.tls
	Source                string      `toml:"source"`                  // the name of a [[source]]
	Quiet                 []string    `toml:"quiet"`                   // hours in which nothing is sent, in local time: "22:00-06:00"
}

// Terms is what holds for one site: the rules that match it, resolved.
type Terms struct {
	Provider string // "gmail", "microsoft", …; "" for one that the table of providers does not know
	Rule     string // the name of the narrowest rule that matches; "" for [pool] alone
	Split    string // not "" when a rule by domain makes a site of its own out of an MX set: the suffix of its key

	Connections           int         // at most, from one source address
	Rate                  MessageRate // at most, from one source address; 0: no limit
	MessagesPerConnection int         // at most
	Recipients            int         // at most in one transaction; 0: no rule says
	Domains               int         // at most in one transaction; 0: no rule says
	TLS                   string      // a mode of pool.tls
	Source                string      // the name of a [[source]]; "": no rule says

	quiet []quietHours
}

// Rules is all that is configured about sites, made ready. It is immutable; a reload makes another one.
type Rules struct{ base Config }

// CompileRules makes the rules of the file and the table of providers ready, over the [pool] table base. The error joins all
// mistakes; each begins with its key, like "site[1].mx[0]".
func CompileRules(rules []Rule, base Config) (*Rules, error) {
	return &Rules{base: base}, nil
}

// For resolves the rules for the mail of one domain, normalised as route.Domain does it. The narrower rule wins, key by key: one
// by domain before one by MX suffix, a longer suffix before a shorter one, then one by provider, then the table of providers.
// It may be called for each message: it neither locks nor allocates.
func (r *Rules) For(to *route.Route, domain string) Terms {
	return Terms{Connections: r.base.ConnectionsPerSite, MessagesPerConnection: r.base.MessagesPerConnection, TLS: r.base.TLS}
}

// Provider is the name of the provider whose hosts to has; "" when the table of providers does not know them.
func (r *Rules) Provider(to *route.Route) string { return "" }

// ClosedAt reports whether nothing may be sent at now because of quiet hours, and until when. The hours are those of now's
// location.
func (t Terms) ClosedAt(now time.Time) (until time.Time, quiet bool) { return time.Time{}, false }

// general is the terms of sites for which no rule is asked: our own MTA, and domains that DNS does not find.
func (r *Rules) general() Terms {
	return Terms{Connections: r.base.ConnectionsPerSite, MessagesPerConnection: r.base.MessagesPerConnection, TLS: r.base.TLS}
}

// sourceNames is Source as a list.
func (t *Terms) sourceNames() []string { return []string{t.Source} }
