package filter

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Filter is a compiled Config. It is immutable but for its counters, which are atomic, so that any number of sessions
// may share it.
type Filter struct {
	hostname string
	secret   []byte // keys the seal of our Received fields
	sealers  sync.Pool
	rules    []*rule
	byField  fieldIndex // the rules that look at a header field
	direct   *rule      // takes what comes straight to us and what no other rule takes
	rescue   *rule      // takes the backlog of an MTA
	local    []string   // domains in lower case; a leading dot covers all domains below
	mailers  []string
	macros   []string // the names that rules look at
	nextHops []string // in lower case, without a dot at the end
	limit    int64
	maxHops  int
	share    Share
	shareBy  string

	withoutMailer bool
	keepAdded     bool
	told          [detours]atomic.Bool // the log has named this detour
}

// Compile makes a Filter for the host of this name. Mail for the host itself is never taken. Mail that bears a seal made with
// the same secret has been here and is not taken either; without a secret only the host's name tells.
func Compile(c Config, hostname string, secret []byte) (*Filter, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if hostname == "" || strings.ContainsAny(hostname, " \t\r\n()<>;") {
		return nil, fmt.Errorf("hostname %q cannot stand in a Received field", hostname)
	}
	f := &Filter{
		hostname: hostname, secret: secret, limit: c.SizeLimit, maxHops: c.MaxHops,
		local: []string{lower(hostname), "localhost"}, direct: &rule{name: directRule, take: true}, rescue: &rule{name: RescueRule, take: true},
	}
	for _, d := range c.LocalDomains {
		f.local = append(f.local, strings.TrimSuffix(lower(d), "."))
	}
	for _, m := range c.Mailers {
		f.mailers = append(f.mailers, lower(m))
	}
	for _, hop := range c.NextHops {
		f.nextHops = append(f.nextHops, lower(trimDot(hop)))
	}
	f.share, f.shareBy = c.Share, c.ShareBy
	f.withoutMailer, f.keepAdded = c.WithoutMailer, c.KeepAdded
	for i, r := range c.rules() {
		if err := f.addRule(r, i); err != nil {
			return nil, fmt.Errorf("rule[%d].%w", i, err)
		}
	}
	return f, nil
}

func (f *Filter) addRule(c Rule, i int) error {
	r, err := compileRule(c, i)
	if err != nil {
		return err
	}
	f.rules = append(f.rules, r)
	if name, _ := splitMacro(c.Macro); name != "" && !slices.Contains(f.macros, name) {
		f.macros = append(f.macros, name)
	}
	f.byField.add(r.header, i)
	return nil
}

// leftTLS is why mail passes whose sender has asked for REQUIRETLS (RFC 8689), which an MTA tells its filters by the field
// Require-TLS-ESMTP. Our TLS is opportunistic. The field "TLS-Required: No" asks for no more than that, so it needs no attention.
const leftTLS = "asks for verified TLS"

// directRule is the name of the rule that takes mail for which there is no MTA.
const directRule = "submission"

// RescueRule is the name of the rule that takes the backlog of an MTA: the counts of a rescue go by it.
const RescueRule = "rescue"

// whole is the rule that takes all mail of such an offer, or nil.
func (f *Filter) whole(o *Offer) *rule {
	switch {
	case o.Rescue:
		return f.rescue
	case o.Direct:
		return f.direct
	}
	return nil
}

// Hopeless reports that no message of this connection can be taken, whoever sends it. It looks only at the client and
// the listener of the offer.
func (f *Filter) Hopeless(o *Offer) bool {
	if f.whole(o) != nil {
		return false
	}
	for _, r := range f.rules {
		if !holds(r.connect, o) {
			continue
		}
		if r.take {
			return false
		}
		if len(r.mail) == 0 && r.header == nil {
			return true
		}
	}
	return true
}

// Early decides at MAIL as far as it can. It returns Unknown when the header matters. Even after Take, Decide must be
// asked.
func (f *Filter) Early(o *Offer) Verdict {
	switch whole := f.whole(o); {
	case whole != nil && o.Size <= f.limit:
		return whole.verdict()
	case o.Sender == "":
		return pass("null sender")
	case o.Size > f.limit:
		return pass("over size_limit")
	}
	undecided := false // an earlier rule may pass the message once it sees the header
	for _, r := range f.rules {
		switch {
		case !r.offered(o):
		case r.header != nil && r.take:
			return Verdict{}
		case r.header != nil:
			undecided = true
		case r.take && undecided:
			return Verdict{}
		default:
			v := r.verdict()
			if v.Decision == Pass { // a rule that wants it taken is counted by Decide, which has the last word
				r.passed.Add(1)
			}
			return v
		}
	}
	return pass("no rule matches")
}

// Decide decides when the whole header is there: field lines ended by CRLF, without the empty line that ends the
// header. It returns Pass or Take.
func (f *Filter) Decide(o *Offer, header []byte) Verdict {
	whole := f.whole(o)
	if o.Sender == "" && whole == nil {
		return pass("null sender")
	}
	if max(o.Size, int64(len(header))) > f.limit {
		return pass("over size_limit")
	}
	s := f.read(header)
	if s.ours {
		return pass("has been through us already")
	}
	if s.tls {
		return pass(leftTLS)
	}
	if s.hops > f.maxHops {
		return pass("over max_hops")
	}
	r := f.first(o, &s)
	switch {
	case whole != nil && (o.Rescue || r == nil || !r.take):
		r = whole
	case r == nil:
		return pass("no rule matches")
	}
	v := r.verdict()
	// Replies and notices go to single persons. Nothing makes an automatic reply bulk. A notice is bulk when a header
	// says so, but not because its listener or login is one for bulk mail.
	if v.Decision == Take && whole == nil && (s.auto == autoReplied || s.auto == autoNotified && r.header == nil) {
		v.Decision, v.Reason = Pass, s.auto
	}
	if v.Decision == Take {
		r.chosen.Add(1)
	} else {
		r.passed.Add(1)
	}
	return v
}

// first returns the first rule that matches, or nil.
func (f *Filter) first(o *Offer, s *scan) *rule {
	for i, r := range f.rules {
		if (r.header == nil || s.has(i)) && r.offered(o) {
			return r
		}
	}
	return nil
}

// Takes reports whether a recipient of this domain may be taken when the MTA would deliver with this mailer, "" when the
// MTA does not say. detour has a word too. domain is the recipient's domain as written.
func (f *Filter) Takes(mailer, domain string) bool {
	if domain == "" || f.isLocal(strings.TrimSuffix(lower(domain), ".")) {
		return false
	}
	return mailer == "" || slices.Contains(f.mailers, lower(mailer))
}

func (f *Filter) isLocal(domain string) bool {
	return slices.ContainsFunc(f.local, func(l string) bool {
		return domain == l || l[0] == '.' && strings.HasSuffix(domain, l)
	})
}

// SizeLimit is the number of bytes above which a message stays with the MTA.
func (f *Filter) SizeLimit() int64 { return f.limit }

// Macros names the macros that rules look at, without braces. A milter door must ask the MTA for them at MAIL.
func (f *Filter) Macros() []string { return f.macros }

// RuleStatus is what one rule did since its filter was compiled.
type RuleStatus struct {
	Rule      string
	Passed    uint64 // messages that it matched and that passed: take = false, or an automatic reply
	Chosen    uint64 // messages that it wanted taken; WouldTake and Taken are parts of them, the rest was left with the MTA
	WouldTake uint64 // in observe mode
	Taken     uint64
}

// Status returns the counters of all rules, in their order.
func (f *Filter) Status() []RuleStatus {
	counts := make([]RuleStatus, len(f.rules))
	for i, r := range f.rules {
		counts[i] = RuleStatus{
			Rule: r.name, Passed: r.passed.Load(), Chosen: r.chosen.Load(), WouldTake: r.observed.Load(), Taken: r.taken.Load(),
		}
	}
	return counts
}
