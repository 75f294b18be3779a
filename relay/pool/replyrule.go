package pool

import (
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// ReplyRule is one [[reply]] table: what happens to the pace of a site when a receiver refuses with certain words. Its
// conditions are match, code, class, site and provider; all that are given must hold.
type ReplyRule struct {
	Name string `toml:"name"` // for status and log; default: its code or match

	Match    string `toml:"match"`    // regular expression (RE2) in the whole reply, code included; case does not matter
	Code     string `toml:"code"`     // "421", "4xx", or an enhanced status code such as "4.7.28" or "4.7.x"
	Class    string `toml:"class"`    // the name of a smtp.Class, such as "rate"
	Site     string `toml:"site"`     // the name of a [[site]]: only there
	Provider string `toml:"provider"` // only there

	Window                int           `toml:"window"`                  // connections at most
	Rate                  ReplyRate     `toml:"rate"`                    // messages at most: "10/s", or "50%" of what was measured
	MessagesPerConnection int           `toml:"messages_per_connection"` // at most
	Suspend               bool          `toml:"suspend"`                 // nothing is sent
	For                   time.Duration `toml:"for"`                     // how long; default 10m
	Scope                 string        `toml:"scope"`                   // "source" (default): the site from this source address; "site": from all; "sender": this sender domain at the site
}

// ReplyScope is what a [[reply]] holds for.
type ReplyScope uint8

// The scopes of [[reply]].
const (
	ReplySource ReplyScope = iota // the site, from the source address that heard the reply
	ReplySite                     // the site, from all our source addresses
	ReplySender                   // the domain of the sender, at the site
)

// ReplyRate is a rate of messages: a number, or a share of what was measured. The zero value demands nothing.
type ReplyRate struct {
	Rate  MessageRate
	Share float64 // more than 0 and less than 1
}

// Of is the rate where so much was measured; 0 demands nothing.
func (r ReplyRate) Of(measured MessageRate) MessageRate {
	if r.Share > 0 {
		return MessageRate(r.Share) * measured
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

// Replies is all [[reply]] tables and those that Millrace has by itself, made ready. It is immutable; a reload makes another one.
type Replies struct{}

// CompileReplies makes the tables of the file ready; those that Millrace has by itself stand behind them. The error joins all
// mistakes; each begins with its key, like "reply[1].match".
func CompileReplies(rules []ReplyRule) (*Replies, error) { return &Replies{}, nil }

// Match finds the first rule that speaks of the refusal e, heard from a site of that provider under the [[site]] of that name
// (Terms.Provider and Terms.Rule; "" for none). A failure of our own never matches: a rule that suspends would be kept alive by
// its own suspension. Match sees to it, by Error.Local and by a Code of 0.
func (r *Replies) Match(e *smtp.Error, provider, site string) (ReplyAction, bool) {
	return ReplyAction{}, false
}
