package filter

import "strings"

// Command is the argument of a MAIL or RCPT command.
type Command struct {
	Path   string   // without angle brackets, otherwise as received
	Params []string // "KEY=value" as received
	Bad    bool     // nobody can tell where the path ends
}

// ParseCommand takes an argument apart, as in "<a@b> KEY=value". A path without angle brackets is understood too,
// because Sendmail's milter sends such. It judges nothing: see Canonical and Mail.
func ParseCommand(argument string) Command {
	path, behind, ok := splitPath(argument)
	return Command{Path: path, Params: strings.Fields(behind), Bad: !ok}
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
