package setup

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// table is a lookup table of Postfix.
type table struct {
	kind string // "hash", "regexp", "inline", ...
	name string // what stands behind the colon: a path, or the text of the table
}

// String is the table as main.cf names it.
func (t table) String() string { return t.kind + ":" + t.name }

// entry is one line of a table.
type entry struct {
	key, value string
	pattern    bool // the key is a pattern or a network, and not an address or a domain
}

// errNotText is returned for a table that has no text to read: a database server, a program, or one that is computed.
var errNotText = errors.New("is not kept as text on this host")

// tablesIn reads a list of tables. An element without a colon is no table, unless defaultKind says what it then is.
func tablesIn(list, defaultKind string) []table {
	var all []table
	for _, word := range words(list) {
		inner, _ := unbraced(word)
		kind, name, ok := strings.Cut(inner, ":")
		switch {
		case !ok && defaultKind != "" && filepath.IsAbs(inner):
			all = append(all, table{defaultKind, inner})
		case !ok:
		case kind == "proxy":
			all = append(all, tablesIn(name, "")...)
		case kind == "pipemap" || kind == "unionmap":
			list, _ := unbraced(name)
			all = append(all, tablesIn(list, "")...)
		default:
			all = append(all, table{kind, name})
		}
	}
	return all
}

// entries reads the table, by read if it is a file. A table that is compiled from a text has the text beside it: the path
// in main.cf is that of the text. errNotText and the errors of read say that the table cannot be known here.
func (t table) entries(read func(string) (string, error)) ([]entry, error) {
	switch t.kind {
	case "inline":
		return inlineEntries(t.name), nil
	case "static":
		value, _ := unbraced(t.name)
		return []entry{{"", value, true}}, nil
	case "hash", "btree", "cdb", "lmdb", "dbm", "sdbm", "texthash", "regexp", "pcre", "cidr":
		text, err := read(t.name)
		if err != nil {
			return nil, err
		}
		return parseEntries(text, t.kind), nil
	}
	return nil, errNotText
}

// inlineEntries reads "{ key = value, { key = value with blanks } }".
func inlineEntries(text string) []entry {
	inner, _ := unbraced(text)
	var all []entry
	for _, word := range words(inner) {
		pair, _ := unbraced(word)
		if key, value, ok := assignment(pair); ok {
			all = append(all, entry{key, value, false})
		}
	}
	return all
}

// parseEntries reads the text of a table: a key, blanks, a value. A line that begins with a blank goes on with the line
// before it; "#" begins a comment line.
func parseEntries(text, kind string) []entry {
	var all []entry
	for _, line := range logicalLines(text) {
		var key, value string
		switch kind {
		case "regexp", "pcre":
			key, value = cutPattern(line)
		default:
			key, value = cutBlank(line)
		}
		if key != "" {
			all = append(all, entry{key, value, kind == "regexp" || kind == "pcre" || kind == "cidr"})
		}
	}
	return all
}

// logicalLines joins continued lines, and drops comments and empty lines.
func logicalLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case strings.ContainsAny(line[:1], " \t") && len(lines) > 0:
			lines[len(lines)-1] += " " + trimmed
		default:
			lines = append(lines, trimmed)
		}
	}
	return lines
}

func cutBlank(line string) (first, rest string) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(line[i:])
}

// cutPattern splits "/pattern/flags action". The pattern may have blanks; a backslash keeps its delimiter within it. Lines
// like "if /x/" and "endif" have no action.
func cutPattern(line string) (pattern, action string) {
	body := strings.TrimLeft(line, "! \t")
	if body == "" || 'a' <= body[0] && body[0] <= 'z' {
		return "", ""
	}
	for i := 1; i < len(body); i++ {
		switch body[i] {
		case '\\':
			i++
		case body[0]:
			flags, action := cutBlank(body[i+1:])
			return body[:i+1] + flags, action
		}
	}
	return "", ""
}

// hidden are the actions of access(5) and header_checks(5) that a milter is not told of. The others do no harm: Postfix
// obeys REJECT, DEFER and DISCARD before it asks the milters for a message, and a milter sees what PREPEND and REPLACE make.
var hidden = []string{"HOLD", "REDIRECT", "BCC", "FILTER"}

// firstWord is the action of a table's value, in capitals.
func firstWord(value string) string {
	word, _ := cutBlank(value)
	return strings.ToUpper(word)
}

// hiddenIn counts the hidden actions in a table, as text like "HOLD in 2 entries, FILTER in 1"; "" if there is none.
func hiddenIn(entries []entry) string {
	var found []string
	for _, action := range hidden {
		n := 0
		for _, e := range entries {
			if firstWord(e.value) == action {
				n++
			}
		}
		if n > 0 {
			found = append(found, fmt.Sprintf("%s in %s", action, count(n, "entry", "entries")))
		}
	}
	return strings.Join(found, ", ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// domainIn reports whether a domain stands in a list of domains like mydestination: itself, as the key of a table, or in a
// file. Tables that cannot be read do not have it.
func domainIn(domain, list, defaultKind string, read func(string) (string, error)) bool {
	for _, word := range words(list) {
		if strings.EqualFold(word, domain) {
			return true
		}
		if filepath.IsAbs(word) {
			text, err := read(word)
			if err == nil && slices.ContainsFunc(logicalLines(text), func(l string) bool { return strings.EqualFold(l, domain) }) {
				return true
			}
		}
	}
	for _, t := range tablesIn(list, defaultKind) {
		entries, _ := t.entries(read)
		if slices.ContainsFunc(entries, func(e entry) bool { return !e.pattern && strings.EqualFold(e.key, domain) }) {
			return true
		}
	}
	return false
}
