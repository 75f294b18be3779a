package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/relay"
)

// MaxRules is how many rules a Config may have.
const MaxRules = 256

// Rule says which messages are bulk. Every condition that is given must hold; a rule without a condition is refused.
//
// The patterns for Sender, SASLUser, Listener, a client's name and a macro's value are of the shell's kind: "*" stands
// for any text, "?" for one byte, case does not matter, and the whole text must match.
type Rule struct {
	Name     string `toml:"name"`      // for the log and the counters; when empty it is made from the header
	Header   string `toml:"header"`    // the message has a field of this name; a "*" at its end stands for any rest
	Value    string `toml:"value"`     // and the unfolded value of such a field contains this RE2 pattern, case aside
	Sender   string `toml:"sender"`    // envelope sender; "news.example.com" is short for "*@news.example.com"
	Client   string `toml:"client"`    // address, network as "10.0.0.0/8", or pattern for the verified name
	SASLUser string `toml:"sasl_user"` // the name the client logged in with
	Listener string `toml:"listener"`  // {daemon_name}, or the port the client connected to
	Macro    string `toml:"macro"`     // "name" or "name=pattern"; the MTA must send it at MAIL or before
	Take     *bool  `toml:"take"`      // false leaves matching messages with the MTA; true when not given
	Overflow string `toml:"overflow"`  // relay.OverflowLeave, OverflowReturn or OverflowTempfail: when there is no room; "": as [gate] says
	Lane     string `toml:"lane"`      // LaneUrgent: what it takes goes before all other mail to the same site
}

// The lanes of a Rule. A rule without one has LaneBulk.
const (
	LaneBulk   = "bulk"
	LaneUrgent = "urgent"
)

// Config is the [bulk] table.
type Config struct {
	Rule          []Rule   `toml:"rule"`           // first match wins; they stand before the default rules
	Defaults      bool     `toml:"defaults"`       // false: the rules of the file alone decide
	SizeLimit     int64    `toml:"size_limit"`     // bytes; a larger message stays with the MTA
	LocalDomains  []string `toml:"local_domains"`  // mail for them is never taken; ".example.com" covers all domains below it
	Mailers       []string `toml:"mailers"`        // recipients may be taken when {rcpt_mailer} is one of these
	NextHops      []string `toml:"next_hops"`      // of the MTA, as it writes them; mail may go to the recipient's domain instead
	WithoutMailer bool     `toml:"without_mailer"` // take mail of an MTA that does not say where it would send it
	KeepAdded     bool     `toml:"keep_added"`     // the MTA keeps recipients that it or a milter before us has added to a message that is taken
	MaxHops       int      `toml:"max_hops"`       // a message with more Received fields loops and stays with the MTA
	Share         Share    `toml:"share"`          // the part that is taken of what the rules would take; the rest stays with the MTA
	ShareBy       string   `toml:"share_by"`       // ShareBySender or ShareByDomain
}

// DefaultConfig is the [bulk] table of an empty file.
//
// The mailer "relay" is not among Mailers. Postfix uses it for domains this host is a relay for, Sendmail for a smart
// host. Delivering to the MX hosts would undo both decisions.
func DefaultConfig() Config {
	return Config{Defaults: true, SizeLimit: 50 << 20, Mailers: []string{"smtp", "esmtp"}, MaxHops: 50, Share: WholeShare, ShareBy: ShareBySender}
}

// rules are all rules in force. Those of the file stand first: an operator who writes a rule wants it obeyed, and does
// not want to lose the default ones by it.
func (c Config) rules() []Rule {
	if !c.Defaults {
		return c.Rule
	}
	return append(slices.Clone(c.Rule), DefaultRules()...)
}

// Validate returns what is wrong, joined: each error names its key and how to repair it.
func (c Config) Validate() error {
	var errs []error
	note := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s%w", key, err))
		}
	}
	note("", c.validateNumbers())
	note("", c.validateShare())
	for i, m := range c.Mailers {
		note(fmt.Sprintf("mailers[%d]: ", i), validateMailer(m))
	}
	for i, d := range c.LocalDomains {
		if strings.Trim(d, ".") == "" || strings.ContainsAny(d, "@*/ ") {
			note(fmt.Sprintf("local_domains[%d]: ", i), fmt.Errorf("%q is not a domain; write example.com, or .example.com for all domains below it", d))
		}
	}
	for i, hop := range c.NextHops {
		note(fmt.Sprintf("next_hops[%d]: ", i), validateNextHop(hop))
	}
	for i, r := range c.Rule {
		note(fmt.Sprintf("rule[%d].", i), r.validate())
		note(fmt.Sprintf("rule[%d].", i), validateOnce(c.Rule[:i], r.Name))
	}
	return errors.Join(errs...)
}

func (c Config) validateNumbers() error {
	switch {
	case c.SizeLimit < 1:
		return fmt.Errorf("size_limit: %d is less than 1; give bytes, like 52428800", c.SizeLimit)
	case c.MaxHops < 1:
		return fmt.Errorf("max_hops: %d is less than 1; 50 is usual", c.MaxHops)
	case len(c.Mailers) == 0:
		return fmt.Errorf(`mailers: is empty, so nothing would be taken; give ["smtp", "esmtp"]`)
	case len(c.rules()) == 0:
		return fmt.Errorf("defaults: is false and there is no [[bulk.rule]], so nothing would be taken; give a rule, or true")
	case len(c.rules()) > MaxRules:
		return fmt.Errorf("rule: %d rules, the default ones included, are more than %d; join patterns with |", len(c.rules()), MaxRules)
	}
	return nil
}

// validateOnce finds a name that an earlier rule has too: log and counters could not tell the two apart.
func validateOnce(earlier []Rule, name string) error {
	if name != "" && slices.ContainsFunc(earlier, func(r Rule) bool { return r.Name == name }) {
		return fmt.Errorf("name: %q is the name of a rule above; give each its own", name)
	}
	return nil
}

// validateMailer wants what the MTA sends as {rcpt_mailer}: a name alone, not the transport:nexthop of a transport map.
func validateMailer(m string) error {
	name, _, found := strings.Cut(m, ":")
	switch {
	case name == "" || strings.ContainsAny(name, " \t"):
		return fmt.Errorf(`%q is empty or has a blank, so it is never sent; write "smtp" or another name`, m)
	case found:
		return fmt.Errorf("%q has a colon, so it is never sent; write %q", m, name)
	}
	return nil
}

func (r Rule) validate() error {
	switch {
	case strings.ContainsFunc(r.Name, notInName):
		return fmt.Errorf("name: %q has characters that do not fit in a log line; write it like %q", r.Name, fitName(r.Name))
	case r.condition().empty():
		return fmt.Errorf("header: the rule has no condition; give one of header, sender, client, sasl_user, listener, macro")
	}
	if err := r.validateLane(); err != nil {
		return err
	}
	return r.condition().validate()
}

func (r Rule) condition() condition {
	return condition{"rule", r.Header, r.Value, r.Sender, r.Client, r.SASLUser, r.Listener, r.Macro}
}

func (r Rule) validateLane() error {
	switch {
	case r.Overflow != "" && !relay.IsOverflow(r.Overflow):
		return fmt.Errorf("overflow: %q is not known; use %q, %q or %q", r.Overflow, relay.OverflowLeave, relay.OverflowReturn, relay.OverflowTempfail)
	case r.Overflow != "" && !r.takes():
		return fmt.Errorf("overflow: is set, and take is false: such mail is not taken anyway; leave overflow out")
	case r.Lane != "" && r.Lane != LaneBulk && r.Lane != LaneUrgent:
		return fmt.Errorf("lane: %q is not known; use %q or %q", r.Lane, LaneBulk, LaneUrgent)
	case r.Lane != "" && !r.takes():
		return fmt.Errorf("lane: the rule has take = false, and the MTA knows no lane; leave lane out")
	}
	return nil
}

// takes reports whether the messages that the rule matches are taken.
func (r Rule) takes() bool { return r.Take == nil || *r.Take }

func notInName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.+", c))
}

// fitName is the repair of a name that notInName refuses.
func fitName(name string) string {
	fit := strings.Join(strings.FieldsFunc(name, notInName), "-")
	if fit == "" {
		return "my-rule"
	}
	return fit
}
