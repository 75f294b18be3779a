package pool

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// ReplyRule is one [[reply]] table: what happens to the pace of a site when a receiver refuses with certain words. Its
// conditions are match, code, class, site and provider; all that are given must hold.
type ReplyRule struct {
	Name string `toml:"name"` // for status and log; default: its code or class

	Match    string `toml:"match"`    // regular expression (RE2) in the whole reply, "421 4.7.28 text" with its lines joined by a blank; case does not matter
	Code     string `toml:"code"`     // "421", "4xx", or an enhanced status code such as "4.7.28" or "4.7.x"
	Class    string `toml:"class"`    // the name of a smtp.Class, such as "rate"
	Site     string `toml:"site"`     // the name of a [[site]]: only where this is the narrowest
	Provider string `toml:"provider"` // a name of the table of providers: only there

	Window                int           `toml:"window"`                  // connections at most
	Rate                  ReplyRate     `toml:"rate"`                    // messages at most: "10/s", or "50%" of what was measured
	MessagesPerConnection int           `toml:"messages_per_connection"` // at most
	Suspend               bool          `toml:"suspend"`                 // nothing is sent
	For                   time.Duration `toml:"for"`                     // how long; 0: DefaultReplyFor
	Scope                 string        `toml:"scope"`                   // "source" (default): the site from this source address; "site": from all; "sender": this sender's domain at the site, with suspend alone
}

const hour = time.Hour

// DefaultReplyFor is how long what a [[reply]] demands holds when the table does not say.
const DefaultReplyFor = 10 * time.Minute

// ReplyScope is whom a [[reply]] concerns.
type ReplyScope uint8

// The scopes of [[reply]].
const (
	ReplySource ReplyScope = iota // the site, from the source address that heard the reply
	ReplySite                     // the site, from all our source addresses
	ReplySender                   // the domain of the sender, at the site
	replyScopes = iota
)

var replyScopeNames = [replyScopes]string{"source", "site", "sender"}

// String returns the scope's name in the configuration.
func (s ReplyScope) String() string { return replyScopeNames[min(int(s), replyScopes-1)] }

// ReplyRate is a rate of messages: a number, or a share of what was measured. The zero value demands nothing.
type ReplyRate struct {
	Rate  relay.MessageRate
	Share float64 // more than 0 and less than 1
}

// UnmarshalText reads a rate like "10/s", or a share like "50%".
func (r *ReplyRate) UnmarshalText(b []byte) error {
	percent, isShare := strings.CutSuffix(string(b), "%")
	if !isShare {
		return r.Rate.UnmarshalText(b)
	}
	n, err := strconv.ParseUint(percent, 10, 8)
	if err != nil || n < 1 || n > 99 {
		return errors.New(`a share goes from "1%" to "99%"`)
	}
	r.Share = float64(n) / 100
	return nil
}

// Of is the rate where so much was measured; 0 demands nothing.
func (r ReplyRate) Of(measured relay.MessageRate) relay.MessageRate {
	if r.Share > 0 {
		return relay.MessageRate(r.Share) * measured
	}
	return r.Rate
}

// ReplyAction is what a reply that a rule matches demands. A zero field demands nothing.
type ReplyAction struct {
	Rule                  string        // the name of the rule, for status and log
	Window                int           // connections at most
	Rate                  ReplyRate     // messages at most
	MessagesPerConnection int           // at most
	Suspend               bool          // nothing is sent
	For                   time.Duration // how long all this holds; more than 0
	Scope                 ReplyScope    // for whom
}

// Replies is all [[reply]] tables and those of the table of providers, made ready. It is immutable; a reload makes another one.
type Replies struct{ rules []replyRule }

// CompileReplies makes the tables of the file ready; those of the table of providers stand behind them. The error joins all
// mistakes; each begins with its key, like "reply[1].match".
func CompileReplies(rules []ReplyRule) (*Replies, error) {
	r := &Replies{}
	var errs []error
	for i, rule := range rules {
		c, err := compileReply(rule, i)
		if err == nil && rule.Name != "" && r.has(rule.Name) {
			err = replyError(i, ".name", errors.New(strconv.Quote(rule.Name)+" is the name of a rule above; give each its own"))
		}
		errs = append(errs, err)
		r.rules = append(r.rules, c)
	}
	for i, rule := range providerReplies {
		c, err := compileReply(rule, i)
		errs = append(errs, err) // never: a test compiles the table
		r.rules = append(r.rules, c)
	}
	return r, errors.Join(errs...)
}

// has reports whether a rule has that name.
func (r *Replies) has(name string) bool {
	for _, c := range r.rules {
		if c.action.Rule == name {
			return true
		}
	}
	return false
}

// Match finds the first rule that speaks of the refusal e, heard from a site with these terms (Terms.Provider and Terms.Rule; ""
// for none). It is for refusals only, and costs some tens of nanoseconds a rule when none matches: a regular expression runs only on
// a reply that has all that is literal in it.
//
// A failure of our own never matches: a rule that suspends a site would be kept alive by what its own suspension says. Match sees
// to it: Error.Local marks a refusal of ours, and a failure without a reply has the Code 0.
func (r *Replies) Match(e *smtp.Error, provider, site string) (ReplyAction, bool) {
	if e == nil || e.Local || e.Code < 400 || e.Code > 599 {
		return ReplyAction{}, false
	}
	var room [512]byte
	reply := heard{e: e, provider: provider, site: site, lower: lowerASCII(appendReply(room[:0], e))}
	for i := range r.rules {
		if r.rules[i].matches(&reply) {
			return r.rules[i].action, true
		}
	}
	return ReplyAction{}, false
}
