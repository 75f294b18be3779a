package filter

import (
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/relay"
	"golang.org/x/net/idna"
)

// Longest parts of an address (RFC 5321 section 4.5.3.1). A sender's local part has no limit of its own: under VERP it holds
// a whole address of a subscriber and is often longer than 64 bytes, and Postfix sends it.
const (
	maxPath   = 254 // two bytes less than a path with its angle brackets
	maxLocal  = 64
	maxDomain = 253
	maxLabel  = 63
)

// Why an address stays with the MTA. It may complete, rewrite or refuse such an address, and whatever it does was decided
// by its own rules. Millrace would find out from the receiver, when only a bounce is left.
const (
	faultEnd     = "no end of the path"
	faultControl = "control character in an address"
	faultUTF8    = "address in UTF-8 without SMTPUTF8"
	faultBytes   = "address that is not UTF-8"
	faultRoute   = "source route"
	faultBlank   = "blank in an address"
	faultDomain  = "address without a domain"
	faultLiteral = "address literal"
	faultSyntax  = "malformed address"
	faultLong    = "address too long"
)

// Canonical returns the path in the form that goes out (RFC 5321 section 4.1.2): without needless quoting, and without a dot
// at the end. When the path cannot be used, fault says why. The null path is in order.
func (c *Command) Canonical(utf8 bool) (addr, fault string) {
	if c.Path == "" && !c.Bad {
		return "", ""
	}
	if fault := c.unsafe(utf8); fault != "" {
		return "", fault
	}
	at := indexUnquoted(c.Path, '@')
	if at < 0 {
		return "", faultDomain
	}
	local, ok := canonicalLocal(c.Path[:at])
	if !ok {
		return "", faultSyntax
	}
	domain, fault := canonicalDomain(c.Path[at+1:])
	if fault != "" {
		return "", fault
	}
	if len(local)+1+len(domain) > maxPath {
		return "", faultLong
	}
	if local == c.Path[:at] && domain == c.Path[at+1:] { // as most are
		return c.Path, ""
	}
	return local + "@" + domain, ""
}

// theirs are the faults for which one recipient stays with the MTA and the others may be taken: the MTA knows the address
// as one, in its own way. With any other fault nobody can tell who is meant, or whether the MTA hears the same as we do.
var theirs = map[string]bool{faultBlank: true, faultDomain: true, faultLiteral: true, faultSyntax: true, faultLong: true}

// forRcpt is Canonical for a recipient, which cannot be the null path and has a shorter local part.
func (c *Command) forRcpt(utf8 bool) (addr, fault string) {
	addr, fault = c.Canonical(utf8)
	switch {
	case fault == "" && addr == "":
		return "", faultDomain
	case fault == "" && len(addr)-len(relay.Domain(addr))-1 > maxLocal:
		return "", faultLong
	}
	return addr, fault
}

// unsafe finds what no mailbox can have. A control character could end an SMTP command. A source route (RFC 5321 section
// 4.1.1.3) is for the MTA to interpret.
func (c *Command) unsafe(international bool) string {
	switch {
	case c.Bad:
		return faultEnd
	case strings.ContainsFunc(c.Path, isControl):
		return faultControl
	case !international && hasEightBit([]byte(c.Path)):
		return faultUTF8
	case !utf8.ValidString(c.Path):
		return faultBytes
	case strings.HasPrefix(c.Path, "@"):
		return faultRoute
	case indexUnquoted(c.Path, ' ') >= 0:
		return faultBlank
	}
	return ""
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// canonicalLocal returns a local part as a dot-string, if it can be one, and otherwise as a quoted string with no more
// backslashes than it needs. It is false for what is neither.
func canonicalLocal(local string) (string, bool) {
	if !strings.HasPrefix(local, `"`) {
		return local, isDotString(local)
	}
	text, ok := unquote(local)
	if !ok {
		return "", false
	}
	if isDotString(text) {
		return text, true
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`, true
}

// unquote is the text of a quoted string. It is false when the closing quote is missing or not the last byte.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), i == len(s)-1
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", false
}

// isDotString reports whether s is atoms with single dots between them.
func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, notInAtom) {
			return false
		}
	}
	return true
}

// notInAtom reports what an atom cannot have (RFC 5322 section 3.2.3, RFC 6531 section 3.3).
func notInAtom(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune(`()<>[]:;@\,"`, c) }

// canonicalDomain returns a domain without the dot that may stand at its end. An underscore passes, because Postfix lets
// it pass and such hosts exist.
func canonicalDomain(domain string) (string, string) {
	domain = strings.TrimSuffix(domain, ".")
	switch {
	case domain == "":
		return "", faultDomain
	case domain[0] == '[':
		return "", faultLiteral
	}
	ascii, ok := asciiDomain(domain)
	if !ok {
		return "", faultSyntax
	}
	if len(ascii) > maxDomain {
		return "", faultLong
	}
	last := ""
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notInLabel) {
			return "", faultSyntax
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" {
		return "", faultLiteral // an address without its brackets
	}
	return domain, ""
}

// asciiDomain returns a domain in A-labels (RFC 5891), the form that DNS is asked for. It is false when some label has none.
func asciiDomain(domain string) (string, bool) {
	if !hasEightBit([]byte(domain)) {
		return domain, true
	}
	p := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))
	ascii, err := p.ToASCII(domain)
	return strings.TrimSuffix(ascii, "."), err == nil
}

func notInLabel(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}
