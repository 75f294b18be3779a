package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxNesting is how deep lists and inline tables are followed.
const maxNesting = 64

// places knows where each key of a TOML text has its value. The parser does not tell, so the text is read a second
// time, by a scanner that takes it for valid; of a text that is not, it finds what it finds.
type places struct {
	text   string
	offset map[string]int // by path: "queue.order", "bulk.rule[1]", `route."example.com"`
}

// at returns the line, and the column in characters, of a key's value or a table's header. A key that is not in the
// text stands where its table does, and the top of the file is nowhere: 0, 0.
func (p *places) at(path string) (line, column int) {
	for ; path != ""; path = parent(path) {
		if off, ok := p.offset[path]; ok {
			before := p.text[:off]
			start := strings.LastIndexByte(before, '\n') + 1
			return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
		}
	}
	return 0, 0
}

// join makes the path of a key in a table.
func join(table, key string) string {
	if key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		key = fmt.Sprintf("%q", key)
	}
	if table == "" {
		return key
	}
	return table + "." + key
}

// parent is the path of the table or list that path is in. A dot in quotes may end it early, which does no harm: no
// key has the path that is left then.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// locate reads the text.
func locate(text string) *places {
	s := scanner{text: text, elements: make(map[string]int), found: make(map[string]int)}
	table := ""
	for s.blank(); s.at < len(s.text); s.blank() {
		before := s.at
		if s.peek() == '[' {
			table = s.header()
		} else {
			s.pair(table)
		}
		if s.at == before {
			s.at++ // not valid: over it
		}
	}
	return &places{text: text, offset: s.found}
}

// scanner reads a TOML text. Every method stops at the end of the text.
type scanner struct {
	text     string
	at       int
	depth    int
	elements map[string]int // tables seen so far of each [[name]]
	found    map[string]int
}

// peek is the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// skip passes over any of these bytes.
func (s *scanner) skip(set string) {
	s.at = len(s.text) - len(strings.TrimLeft(s.text[s.at:], set))
}

// take passes over c, if it comes next.
func (s *scanner) take(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// until passes over everything up to one of these bytes.
func (s *scanner) until(set string) string {
	rest := s.text[s.at:]
	if n := strings.IndexAny(rest, set); n >= 0 {
		rest = rest[:n]
	}
	s.at += len(rest)
	return rest
}

// blank passes over white space, ends of lines and comments.
func (s *scanner) blank() {
	for s.skip(" \t\r\n"); s.peek() == '#'; s.skip(" \t\r\n") {
		s.until("\n")
	}
}

// note remembers the first place of a path.
func (s *scanner) note(path string, at int) {
	if _, ok := s.found[path]; !ok {
		s.found[path] = at
	}
}

// header reads [a.b] or [[a.b]] and returns its path.
func (s *scanner) header() string {
	start := s.at
	s.at++
	list := s.take('[')
	path := ""
	for keys := s.keys(); len(keys) > 0; keys = keys[1:] {
		path = join(path, keys[0])
		s.note(path, start)
		if len(keys) == 1 && list {
			s.elements[path]++
		}
		if n := s.elements[path]; n > 0 { // what follows belongs to the last element so far
			path = fmt.Sprintf("%s[%d]", path, n-1)
			s.note(path, start)
		}
	}
	s.take(']')
	if list {
		s.take(']')
	}
	return path
}

// pair reads a.b = value below that table.
func (s *scanner) pair(table string) {
	start, path := s.at, table
	for _, key := range s.keys() {
		path = join(path, key)
		s.note(path, start)
	}
	if path == table || !s.take('=') {
		return
	}
	s.skip(" \t")
	s.found[path] = s.at
	s.value(path)
}

// keys reads a dotted key and the space around it.
func (s *scanner) keys() []string {
	var keys []string
	for {
		s.skip(" \t")
		key, ok := s.key()
		if !ok {
			return keys
		}
		keys = append(keys, key)
		s.skip(" \t")
		if !s.take('.') {
			return keys
		}
	}
}

func (s *scanner) key() (string, bool) {
	if c := s.peek(); c != '"' && c != '\'' {
		bare := s.until(" \t\r\n.=[]{},#\"'")
		return bare, bare != ""
	}
	start := s.at
	s.quoted()
	raw := s.text[start:s.at]
	if len(raw) < 2 {
		return "", false
	}
	if raw[0] == '"' && strings.Contains(raw, `\`) {
		return unescape(raw), true
	}
	return raw[1 : len(raw)-1], true
}

// unescape leaves the rules of escapes to the parser, so that both find the same key.
func unescape(raw string) string {
	given, err := parse("k = " + raw)
	if s, ok := given["k"].(string); ok && err == nil {
		return s
	}
	return raw
}

// value reads a value and notes what is inside.
func (s *scanner) value(path string) {
	if s.depth++; s.depth > maxNesting {
		s.at = len(s.text)
	}
	defer func() { s.depth-- }()
	switch s.peek() {
	case '"', '\'':
		s.quoted()
	case '[':
		s.list(path)
	case '{':
		s.inline(path)
	default:
		s.until(",]}#\r\n")
	}
}

// quoted passes over a string of any of the four kinds.
func (s *scanner) quoted() {
	quote := s.text[s.at : s.at+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.at:], triple) {
		s.at += 3
		s.closing(triple)
		for range 2 { // up to two quotes may stand before the closing three
			s.take(quote[0])
		}
		return
	}
	s.at++
	s.closing(quote)
}

// closing passes over everything up to and with the end of a string.
func (s *scanner) closing(end string) {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case strings.HasPrefix(rest, end):
			s.at += len(end)
			return
		case rest[0] == '\\' && end[0] == '"':
			s.at = min(s.at+2, len(s.text))
		case rest[0] == '\n' && len(end) == 1:
			return // not valid; so the rest of the text is still found
		default:
			s.at++
		}
	}
}

func (s *scanner) list(path string) {
	s.at++
	for i := 0; ; i++ {
		s.blank()
		if s.at >= len(s.text) || s.take(']') {
			return
		}
		element := fmt.Sprintf("%s[%d]", path, i)
		s.note(element, s.at)
		before := s.at
		s.value(element)
		if !s.next(before) {
			return
		}
	}
}

func (s *scanner) inline(table string) {
	s.at++
	for {
		s.blank()
		if s.at >= len(s.text) || s.take('}') {
			return
		}
		before := s.at
		s.pair(table)
		if !s.next(before) {
			return
		}
	}
}

// next passes over the comma behind an element that began at before. It is false when nothing was read: the text is
// not valid there.
func (s *scanner) next(before int) bool {
	s.blank()
	s.take(',')
	return s.at > before
}
