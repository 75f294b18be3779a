package smtp

import "strings"

// Class is the kind of a failure. The set is fixed, so that it can label metrics.
type Class uint8

// The classes of failures.
const (
	Other       Class = iota // an error of the peer's software, the dialogue, or words nobody knows
	Greylisting              // the receiver wants the same message again later (RFC 6647)
	Rate                     // too much at a time: connections, messages, recipients; or the receiver is busy
	Reputation               // the address or the domain we send from is listed, or known for spam
	MailboxFull              // the recipient's mailbox, not the server's disk
	BadMailbox               // the mailbox does not exist, or its owner or operator has closed it
	BadDomain                // no such domain, or none that this receiver takes mail for
	Policy                   // a rule of the receiver about who may write to whom
	Auth                     // SPF, DKIM, DMARC, reverse DNS or a login is missing or wrong
	Content                  // the message itself: taken for spam, a virus, its size, its form
	TLS                      // encryption is missing, or failed
	Network                  // no connection, a broken one, a timeout, no answer from DNS
	classes     = iota
)

var classNames = [classes]string{
	"other", "greylisting", "rate", "reputation", "mailbox-full", "bad-mailbox", "bad-domain", "policy", "auth", "content", "tls", "network",
}

// Classes returns the whole set.
func Classes() []Class {
	all := make([]Class, classes)
	for i := range all {
		all[i] = Class(i)
	}
	return all
}

// String returns the name of c for logs and metrics, such as "bad-mailbox".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "other"
}

// Scope is what a failure concerns: what else would fail in the same way.
type Scope uint8

// The scopes of failures.
const (
	ScopeUnknown   Scope = iota
	ScopeRecipient       // this recipient, or its domain; other recipients may pass
	ScopeMessage         // this message; other messages may pass
	ScopeSender          // the sender's address or domain, whatever it sends
	ScopeSite            // everything we send to this site from this address
	scopes         = iota
)

var scopeNames = [scopes]string{"unknown", "recipient", "message", "sender", "site"}

// String returns the name of s for logs and metrics.
func (s Scope) String() string {
	if int(s) < len(scopeNames) {
		return scopeNames[s]
	}
	return "unknown"
}

// Verdict is what a failure means.
type Verdict struct {
	Class     Class
	Scope     Scope
	Permanent bool // trying again is of no use
}

// String returns class and scope, such as "rate/recipient".
func (v Verdict) String() string { return v.Class.String() + "/" + v.Scope.String() }

// SlowDown reports whether v asks us to send less to the site. Greylisting does not: it wants the same message later
// (RFC 6647). A recipient's own limit does not: the site takes mail for its other recipients.
func (v Verdict) SlowDown() bool {
	switch {
	case v.Permanent:
		return false
	case v.Class == Rate:
		return v.Scope != ScopeRecipient
	}
	return v.Class == Reputation && v.Scope == ScopeSite
}

// OfSender reports whether the receiver refuses, for good, whoever sends: SPF, DKIM or DMARC fail, or the sender's domain is known for
// spam. The recipients are not to blame, and all mail of this sender would be refused alike.
func (v Verdict) OfSender() bool {
	return v.Permanent && v.Scope == ScopeSender && (v.Class == Auth || v.Class == Reputation)
}

// Gone reports whether the recipient may be suppressed: the receiver said for good that there is no such mailbox. A full
// mailbox, a filter, or a fault of ours never counts: that would suppress a living reader.
func (v Verdict) Gone() bool { return v.Permanent && v.Class == BadMailbox }

// Classify says what the refusal r means. at is where in the dialogue it came, one of the At constants, or "" when that
// is not known. The words come first, because receivers send them with all sorts of codes: whole phrases (classrules.go), then
// what the single words amount to (classwords.go); then the enhanced status code (RFC 3463, RFC 5248), then vaguer phrases and
// words, then code and stage. A reply of code 0 stands for a failure without one.
func Classify(r Reply, at string) Verdict {
	var buf [maxClassText + 2*utf8Max]byte
	text, embedded, address := normalise(buf[:0], r)
	status := r.Enhanced
	if vagueStatus(status) && embedded != "" {
		status = embedded
	}
	q := question{code: r.Code, detail: detailOf(status), at: at, text: text, address: address}
	v := q.verdict()
	v.Permanent = r.Code >= 500 || r.Code == 0 && strings.HasPrefix(status, "5")
	return q.checked(v)
}

// question is one reply, prepared.
type question struct {
	code    int
	detail  string // of the enhanced status code: "7.1" of "5.7.1"
	at      string
	text    string // see normalise
	address bool   // the text names an address
}

func (q *question) verdict() Verdict {
	tables := indexes()
	r := tables[0].match(q, clearRules)
	if r != nil && r.class != BadMailbox {
		return Verdict{Class: r.class, Scope: r.scope}
	}
	found := q.hints()
	if r != nil && found&notTheRecipient == 0 {
		return Verdict{Class: r.class, Scope: r.scope}
	}
	if s := q.add(sureSums, found); s != nil {
		return Verdict{Class: s.class, Scope: s.scope}
	}
	return q.weigh(tables[1].match(q, vagueRules), found)
}

// weigh is for replies without a clear phrase.
func (q *question) weigh(vague *rule, found hint) Verdict {
	if v, ok := statuses[q.detail]; ok && q.credible(v, vague, found) {
		return v
	}
	if vague != nil && !(vague.class == BadMailbox && found&otherThanFaults != 0) {
		return Verdict{Class: vague.class, Scope: vague.scope}
	}
	if s := q.add(lastSums, found); s != nil {
		return Verdict{Class: s.class, Scope: s.scope}
	}
	return q.byGroup()
}

// credible keeps a status code alone from condemning a mailbox: when the code of the reply is temporary (4.2.1 is a mailbox
// that takes nothing now), and when the words hint at another reason.
func (q *question) credible(v Verdict, vague *rule, found hint) bool {
	switch {
	case v.Class == TLS && q.code >= 500 && q.code <= 504: // a command, not its encryption
		return false
	case v.Class != BadMailbox:
		return true
	case found&otherThanFaults != 0, found&hintBlock != 0 && found&hintRecipient == 0:
		return false
	case vague != nil && vague.class != BadMailbox && vague.scope != ScopeRecipient:
		return false
	}
	return q.code == 0 || q.code >= 500 || q.detail == "1.1"
}

// checked corrects a verdict that cannot be: a mailbox was not the question before RCPT.
func (q *question) checked(v Verdict) Verdict {
	if v.Class == BadMailbox && q.code == 503 { // a wrong command, such as DATA after no recipient passed
		v = Verdict{Class: Other, Permanent: v.Permanent}
	}
	if (v.Class == BadMailbox || v.Class == BadDomain) && !q.aboutRecipient() {
		v.Class, v.Scope = Policy, ScopeSender
		if q.at != AtMAIL {
			v.Scope = ScopeSite
		}
	}
	if (v.Class == BadMailbox || v.Class == BadDomain) && (q.detail == "1.7" || q.detail == "1.8") {
		v.Class, v.Scope = Policy, ScopeSender
	}
	if v.Scope == ScopeUnknown {
		v.Scope = q.usualScope(v.Class)
	}
	return v
}

func (q *question) aboutRecipient() bool {
	switch q.at {
	case AtConnect, AtBanner, AtEHLO, AtHELO, AtSTARTTLS, AtRSET, AtMAIL:
		return false
	}
	return true
}

// usualScope is the scope of a class whose words named none.
func (q *question) usualScope(c Class) Scope {
	switch c {
	case MailboxFull, BadMailbox, BadDomain:
		return ScopeRecipient
	case Content, Greylisting:
		return ScopeMessage
	case Auth:
		return ScopeSender
	case Policy:
		if s := q.scopeOfStage(); s != ScopeUnknown {
			return s
		}
		return ScopeSender
	case Rate, Reputation, TLS, Network:
		return ScopeSite
	}
	return q.scopeOfStage()
}

func (q *question) scopeOfStage() Scope {
	switch q.at {
	case AtConnect, AtBanner, AtEHLO, AtHELO, AtSTARTTLS, AtRSET:
		return ScopeSite
	case AtMAIL:
		return ScopeSender
	case AtRCPT:
		return ScopeRecipient
	case AtDATA, AtBody, AtDot:
		return ScopeMessage
	}
	return ScopeUnknown
}

// byGroup is for replies that say no more than a number.
func (q *question) byGroup() Verdict {
	switch subject, _, _ := strings.Cut(q.detail, "."); {
	case q.code == 535:
		return Verdict{Class: Auth, Scope: ScopeSite}
	case q.code == 500 || q.code >= 502 && q.code <= 504:
		return Verdict{Class: Other}
	case subject == "4", q.code == 0:
		return Verdict{Class: Network}
	case subject == "6":
		return Verdict{Class: Content}
	case q.code == 421, q.code/100 == 4 && q.scopeOfStage() == ScopeSite:
		return Verdict{Class: Rate}
	case subject == "7":
		return Verdict{Class: Policy}
	case q.code == 552 && subject == "":
		return Verdict{Class: MailboxFull}
	case q.code == 530 && subject == "":
		return Verdict{Class: Auth}
	}
	return Verdict{}
}

// vagueStatus reports whether status says nothing, so that one inside the text may say more.
func vagueStatus(status string) bool {
	return status == "" || strings.HasSuffix(status, ".0.0") || strings.HasSuffix(status, ".5.0")
}

// detailOf is an enhanced status code without its class: "7.1" of "5.7.1".
func detailOf(status string) string {
	_, rest, _ := strings.Cut(status, ".")
	return rest
}
