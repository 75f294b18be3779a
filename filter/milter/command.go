package milter

import (
	"errors"
	"strings"
)

var errNoTerminator = errors.New("string without its terminating NUL")

// command is a MAIL or RCPT frame: the library keeps only the path, but the parameters carry the sender's wish for
// delivery reports and for UTF-8.
type command struct {
	path   string   // without angle brackets, otherwise as received
	params []string // "KEY=value" as received
	bad    bool     // the path cannot be told from what follows it
}

// parseCommand takes the payload of a MAIL or RCPT frame apart: the path, then each parameter as a C string. Some
// builds of Sendmail put the parameters behind the path, with a space.
func parseCommand(payload []byte) (command, error) {
	if len(payload) == 0 || payload[len(payload)-1] != 0 {
		return command{}, errNoTerminator
	}
	first, rest, more := strings.Cut(string(payload[:len(payload)-1]), "\x00")
	var c command
	path, behind, ok := splitPath(first)
	c.path, c.bad = path, !ok
	c.params = strings.Fields(behind)
	for more {
		var param string
		param, rest, more = strings.Cut(rest, "\x00")
		c.params = append(c.params, param)
	}
	return c, nil
}

// splitPath separates "<path>" or "path" from what follows. A quoted local part may hold any of the separators.
func splitPath(s string) (path, rest string, ok bool) {
	s = strings.TrimLeft(s, " ")
	if !strings.HasPrefix(s, "<") {
		if i := indexUnquoted(s, ' '); i >= 0 {
			return s[:i], s[i:], true
		}
		return s, "", true
	}
	i := indexUnquoted(s, '>')
	if i < 0 {
		return "", "", false
	}
	rest = s[i+1:]
	return s[1:i], rest, rest == "" || rest[0] == ' '
}

// indexUnquoted finds c outside of quotes, or returns -1.
func indexUnquoted(s string, c byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == c && !quoted:
			return i
		}
	}
	return -1
}

// fault says why the path cannot be used, or returns "". Controls could end an SMTP command; a source route
// (RFC 5321 section 4.1.1.3) is for the MTA to interpret.
func (c command) fault(utf8 bool) string {
	switch {
	case c.bad:
		return "no end of the path"
	case strings.ContainsFunc(c.path, isControl):
		return "control character in an address"
	case !utf8 && hasEightBit([]byte(c.path)):
		return "address in UTF-8 without SMTPUTF8"
	case strings.HasPrefix(c.path, "@"):
		return "source route"
	}
	return ""
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// printable reports whether a parameter's value is what RFC 5321 section 4.1.2 allows for one (or, with UTF-8, RFC 6531).
func printable(value string) bool {
	return !strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c == 0x7f })
}
