package filter

import (
	"fmt"
	"net"
	"regexp"
	"strings"
)

// condition says which messages a [[bulk.rule]] or a [[tenant]] is about. Everything that is given must hold; the patterns
// are those of Rule.
type condition struct {
	of                                                    string // "rule" or "tenant", for errors
	header, value, sender, client, login, listener, macro string
}

// matcher is a condition made ready. Its tests are sorted by the stage of the dialogue at which they can be decided.
type matcher struct {
	connect []test // decided once for the connection
	mail    []test // decided at MAIL
	header  *headerTest
}

// test is one condition that the offer alone decides.
type test func(*Offer) bool

// headerTest is the condition on one header field.
type headerTest struct {
	name  string // lower case
	value *regexp.Regexp
}

// fits reports whether a value as Fields yields it is one that the condition wants.
func (t *headerTest) fits(value []byte) bool { return t.value == nil || t.value.Match(unfold(value)) }

// offered reports whether everything holds but for the header.
func (m *matcher) offered(o *Offer) bool { return holds(m.connect, o) && holds(m.mail, o) }

func holds(tests []test, o *Offer) bool {
	for _, t := range tests {
		if !t(o) {
			return false
		}
	}
	return true
}

func (c condition) compile() (matcher, error) {
	var m matcher
	if err := c.addConnect(&m); err != nil {
		return m, err
	}
	c.addMail(&m)
	if c.header == "" {
		return m, nil
	}
	m.header = &headerTest{name: lower(c.header)}
	if c.value == "" {
		return m, nil
	}
	re, err := regexp.Compile("(?i:" + c.value + ")")
	if err != nil {
		return m, fmt.Errorf("value: %w", err)
	}
	m.header.value = re
	return m, nil
}

func (c condition) addConnect(m *matcher) error {
	if c.client != "" {
		t, err := parseClient(c.client)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		m.connect = append(m.connect, t)
	}
	if c.listener != "" {
		p := newPattern(c.listener)
		m.connect = append(m.connect, func(o *Offer) bool { return p.match(o.Listener) || p.match(o.Port) })
	}
	return nil
}

func (c condition) addMail(m *matcher) {
	if c.sender != "" {
		p := senderPattern(c.sender)
		m.mail = append(m.mail, func(o *Offer) bool { return p.match(o.Sender) })
	}
	if c.login != "" {
		p := newPattern(c.login)
		m.mail = append(m.mail, func(o *Offer) bool { return o.SASLUser != "" && p.match(o.SASLUser) })
	}
	if c.macro != "" {
		name, value := splitMacro(c.macro)
		m.mail = append(m.mail, func(o *Offer) bool {
			got := o.macro(name)
			return got != "" && value.match(got)
		})
	}
}

// splitMacro takes "name=pattern" apart. Without a pattern any value fits that is not empty.
func splitMacro(s string) (name string, value pattern) {
	name, rest, found := strings.Cut(s, "=")
	if !found {
		rest = "*"
	}
	return strings.Trim(strings.TrimSpace(name), "{}"), newPattern(strings.TrimSpace(rest))
}

// empty reports whether there is no condition at all: it would hold for every message.
func (c condition) empty() bool {
	return c.header+c.sender+c.client+c.login+c.listener+c.macro == ""
}

func (c condition) validate() error {
	switch {
	case strings.ContainsFunc(strings.TrimSuffix(c.header, "*"), notInField):
		return fmt.Errorf("header: %q is not a field name; write it without colon, with a * at the end at most", c.header)
	case c.value != "" && c.header == "":
		return fmt.Errorf("value: needs a header to look in; give header too")
	case strings.HasPrefix(strings.TrimSpace(c.macro), "="):
		return fmt.Errorf(`macro: %q names no macro; write "name" or "name=pattern"`, c.macro)
	}
	return c.validatePatterns()
}

// validatePatterns finds patterns that are wrong, or right and never met. Nobody would notice the latter.
func (c condition) validatePatterns() error {
	if _, err := regexp.Compile(c.value); err != nil {
		return fmt.Errorf("value: %w; the syntax is RE2, see https://golang.org/s/re2syntax", err)
	}
	if inner, ok := betweenSlashes(c.value); ok {
		return fmt.Errorf("value: %q has the slashes of Perl, which would be looked for; write it without them: %q. Case never matters", c.value, inner)
	}
	for _, p := range []struct{ key, value string }{{"sender", c.sender}, {"sasl_user", c.login}, {"listener", c.listener}, {"macro", c.macro}} {
		if looksLikeRegexp(p.value) {
			return fmt.Errorf("%s: %q looks like a regular expression; the pattern here is of the shell's kind, like *@news.example.com", p.key, p.value)
		}
	}
	if named := lower(strings.TrimSuffix(c.header, "*")) + ":"; strings.HasPrefix(strings.TrimPrefix(lower(c.value), "^"), named) {
		return fmt.Errorf("value: %q begins with the name of the field, which is no part of its value; leave the name out", c.value)
	}
	if err := c.validateSender(); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if _, port, err := net.SplitHostPort(c.listener); err == nil && port != "" && strings.Trim(port, "0123456789") == "" {
		return fmt.Errorf("listener: %q is an address; the MTA tells the port alone, so write %q", c.listener, port)
	}
	if strings.ContainsAny(c.listener, ", \t") {
		return fmt.Errorf("listener: %q: no listener has a blank or a comma in its name; write a %s for each", c.listener, c.of)
	}
	if name, _ := splitMacro(c.macro); strings.HasPrefix(name, "rcpt_") {
		return fmt.Errorf("macro: %q is not known before the first recipient, and a %s is asked before; use another condition", name, c.of)
	}
	if _, err := parseClient(c.client); c.client != "" && err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

// validateSender finds patterns that no sender can meet.
func (c condition) validateSender() error {
	s := c.sender
	switch bare := strings.Trim(s, "<>"); {
	case s == "<>":
		return fmt.Errorf("%q: mail from the null sender is never taken; leave the %s out", s, c.of)
	case bare != s:
		return fmt.Errorf("%q has angle brackets, which are no part of the address; write %q", s, bare)
	case strings.ContainsAny(s, " \t,") && !strings.Contains(s, `"`):
		return fmt.Errorf("%q: no sender has a blank or a comma; write a %s for each", s, c.of)
	case strings.HasPrefix(s, "."):
		return fmt.Errorf("%q: no sender begins with a dot; write %q", s, "*"+s)
	case strings.HasSuffix(s, "."):
		return fmt.Errorf("%q: a sender has no dot at its end; write %q", s, strings.TrimSuffix(s, "."))
	case strings.HasSuffix(s, "@"):
		return fmt.Errorf("%q: no sender ends with @; write %q for any domain", s, s+"*")
	}
	return nil
}

// betweenSlashes returns the pattern in "/^pattern/" or "/pattern/i". It lets "/pattern/" pass, which may be a part of a URL.
func betweenSlashes(value string) (inner string, ok bool) {
	end := strings.LastIndexByte(value, '/')
	if end < 2 || value[0] != '/' {
		return "", false
	}
	inner, flags := value[1:end], value[end+1:]
	return inner, flags == "i" || flags == "" && (inner[0] == '^' || strings.HasSuffix(inner, "$"))
}

// looksLikeRegexp finds regular expressions where shell patterns are wanted. Such a rule would never match, and nobody
// would notice: no sender, login, listener or macro begins with "^" or ".", ends with "$" or has a backslash.
func looksLikeRegexp(s string) bool {
	return strings.HasPrefix(s, "^") || strings.HasPrefix(s, ".*") || strings.HasSuffix(s, "$") || strings.Contains(s, `\`)
}

// notInField reports a character that the name of a header field cannot have (RFC 5322 section 2.2). "*" is legal in a
// name, but here it can only be a mistake.
func notInField(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' || c == '*' }
