package bounce

import (
	"strings"

	"github.com/millrace/millrace/relay/smtp"
)

// The classes of failures: a fixed set, so that they can label metrics.
const (
	RateLimit   = "rate-limit"   // the receiver wants less at a time; says nothing about the message
	Greylist    = "greylist"     // the receiver wants the same message later (RFC 6647)
	MailboxFull = "mailbox-full" // the recipient's, not the server's disk
	Policy      = "policy"       // taken for spam, listed, or against the receiver's rules
	Auth        = "auth"         // SPF, DKIM, DMARC, reverse DNS or TLS of the sender
	BadMailbox  = "bad-mailbox"  // no such user, or disabled
	BadDomain   = "bad-domain"   // no such domain, or none that takes mail
	Network     = "network"      // no connection, or a broken one
	Other       = "other"
)

// Classes returns the whole set.
func Classes() []string {
	return []string{RateLimit, Greylist, MailboxFull, Policy, Auth, BadMailbox, BadDomain, Network, Other}
}

// maxClassText bounds how much of a reply is searched.
const maxClassText = 2000

// Class names the kind of failure that r stands for. The words of a few classes come first, because receivers send them with
// all sorts of codes; then the enhanced status code (RFC 3463); then words again, then the group of the code.
func Class(r smtp.Reply) string {
	text := classText(r)
	if c := byWords(text, firstWords); c != "" {
		return c
	}
	if c := details[detail(r.Enhanced)]; c != "" {
		return c
	}
	if c := byWords(text, laterWords); c != "" {
		return c
	}
	return byGroup(r)
}

// phrases are words, lower case, any of which means the class.
type phrases struct {
	class string
	words []string
}

var firstWords = []phrases{
	{Greylist, []string{"greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list"}},
	{RateLimit, []string{
		"rate limit", "ratelimit", "rate-limit", "at a rate", "sending rate", "message rate", "connection rate", "unusual rate",
		"too many connections", "too many messages from", "too many errors", "throttl", "too fast", "slow down",
		"unexpected volume", "sending quota", "sending limit", "hourly limit", "daily limit",
	}},
	{MailboxFull, []string{
		"mailbox full", "mailbox is full", "mailbox exceeded", "inbox is full", "over quota", "overquota", "over its quota", "over the quota",
		"quota exceeded", "exceeded quota", "exceeds quota", "out of storage", "disk quota", "not enough storage in mailbox",
	}},
}

// details maps subject and detail of an enhanced status code to a class. X.7.20 to X.7.26 are RFC 7372's, the higher ones
// are those of the large mailbox providers.
var details = map[string]string{
	"1.1": BadMailbox, "1.3": BadMailbox, "1.6": BadMailbox, "2.1": BadMailbox,
	"1.2": BadDomain, "1.10": BadDomain, "4.4": BadDomain, "4.6": BadDomain,
	"1.7": Policy, "1.8": Policy,
	"2.2": MailboxFull,
	"3.2": RateLimit, "4.5": RateLimit, "5.3": RateLimit, "7.28": RateLimit,
	"4.1": Network, "4.2": Network, "4.3": Network, "4.7": Network,
	"7.8": Auth, "7.9": Auth, "7.20": Auth, "7.21": Auth, "7.22": Auth, "7.23": Auth, "7.24": Auth, "7.25": Auth,
	"7.26": Auth, "7.27": Auth, "7.29": Auth, "7.30": Auth, "7.31": Auth, "7.32": Auth, "7.40": Auth,
	"7.509": Auth, "7.515": Auth,
}

var laterWords = []phrases{
	{Auth, []string{"spf ", "spf-", "spf:", "dkim", "dmarc", "unauthenticated", "not authenticated", "reverse dns", "ptr record"}},
	{BadDomain, []string{
		"host not found", "domain not found", "domain does not exist", "no such domain", "unknown domain", "nxdomain",
		"relay access denied", "relaying denied", "not permitted to relay", "unable to relay", "does not accept mail", "null mx",
	}},
	{BadMailbox, []string{
		"user unknown", "unknown user", "no such user", "user not found", "no such recipient", "unknown recipient", "recipient unknown",
		"does not exist", "doesn't exist", "not exist", "mailbox not found", "no mailbox", "no such mailbox", "mailbox unavailable",
		"invalid recipient", "invalid mailbox", "recipient rejected", "recipient not found", "unrouteable address",
		"account disabled", "account is disabled", "account has been disabled", "mailbox disabled", "inactive", "suspended",
	}},
	{Policy, []string{
		"spam", "junk", "block list", "blocklist", "blacklist", "black list", "blocked", "listed", "reputation", "policy", "abuse",
		"complaint", "unsolicited", "prohibited", "content rejected", "message rejected", "virus", "banned",
	}},
	{Network, []string{
		"timed out", "timeout", "connection refused", "connection reset", "lost connection", "unreachable", "no route to host", "broken pipe",
	}},
}

func byWords(text string, table []phrases) string {
	for _, p := range table {
		for _, w := range p.words {
			if strings.Contains(text, w) {
				return p.class
			}
		}
	}
	return ""
}

// byGroup is for replies that say no more than a number.
func byGroup(r smtp.Reply) string {
	subject, _, _ := strings.Cut(detail(r.Enhanced), ".")
	switch {
	case subject == "1", subject == "2" && r.Enhanced[0] == '5':
		return BadMailbox
	case subject == "4":
		return Network
	case subject == "7":
		return Policy
	case r.Code == 0:
		return Network
	case r.Code == 421:
		return RateLimit
	case r.Code == 552 && subject == "":
		return MailboxFull
	}
	return Other
}

// detail is an enhanced status code without its class: "7.1" of "5.7.1".
func detail(enhanced string) string {
	_, rest, _ := strings.Cut(enhanced, ".")
	return rest
}

// classText is the text of a reply to search, in lower case.
func classText(r smtp.Reply) string {
	text := strings.Join(r.Lines, " ")
	return strings.ToLower(text[:min(len(text), maxClassText)])
}
