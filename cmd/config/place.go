package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxNesting is how deep lists and inline tables are followed, so that a hostile file cannot exhaust the stack.
const maxNesting = 64

// places knows where each key of a TOML text has its value. The parser does not keep places, so a scanner reads the text
// a second time. The scanner relies on the parser having found the text valid; in an invalid text it may miss places, but
// it always ends.
type places struct {
	text   string
	offset map[string]int // by path: "queue.order", "bulk.rule[1]", `route."example.com"`
}

// position returns the line, and the column in characters, of a key's value or a table's header. A key that is not in
// the text has the position of its table. The top of the file has none: 0, 0.
func (p *places) position(path string) (line, column int) {
	for ; path != ""; path = parent(path) {
		if off, ok := p.offset[path]; ok {
			before := p.text[:off]
			start := strings.LastIndexByte(before, '\n') + 1
			return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1
		}
	}
	return 0, 0
}

// locate reads the text and returns its places.
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
			s.at++ // not valid here; to stay would never end
		}
	}
	return &places{text: text, offset: s.found}
}

// scanner reads a TOML text. Every method stops at the end of the text, and every loop moves on or ends: the fuzzer holds
// it to that.
type scanner struct {
	text     string
	at       int            // the next byte
	depth    int            // lists and inline tables around it
	elements map[string]int // tables seen so far of each [[name]]
	found    map[string]int // places.offset in the making
}

// peek is the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// skip goes over any of these bytes.
func (s *scanner) skip(set string) {
	s.at = len(s.text) - len(strings.TrimLeft(s.text[s.at:], set))
}

// pass goes over c, if it comes next.
func (s *scanner) pass(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// until goes over everything up to one of these bytes and returns it.
func (s *scanner) until(set string) string {
	rest := s.text[s.at:]
	if n := strings.IndexAny(rest, set); n >= 0 {
		rest = rest[:n]
	}
	s.at += len(rest)
	return rest
}

// blank goes over white space, ends of lines and comments.
func (s *scanner) blank() {
	for s.skip(" \t\r\n"); s.peek() == '#'; s.skip(" \t\r\n") {
		s.until("\n")
	}
}

// note remembers the first place of a path: a table that is opened again later has its header there.
func (s *scanner) note(path string, at int) {
	if _, ok := s.found[path]; !ok {
		s.found[path] = at
	}
}

// header reads [a.b] or [[a.b]] and returns its path.
func (s *scanner) header() string {
	start := s.at
	s.at++
	list := s.pass('[')
	path := ""
	for keys := s.keys(); len(keys) > 0; keys = keys[1:] {
		path = join(path, keys[0])
		s.note(path, start)
		if len(keys) == 1 && list {
			s.elements[path]++
		}
		if n := s.elements[path]; n > 0 { // the keys below belong to the last element so far
			path = fmt.Sprintf("%s[%d]", path, n-1)
			s.note(path, start)
		}
	}
	s.pass(']')
	if list {
		s.pass(']')
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
	if path == table || !s.pass('=') {
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
		if !s.pass('.') {
			return keys
		}
	}
}

// key reads one key, bare or quoted.
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

// unescape asks the parser to read the escapes, so that parser and scanner find the same key.
func unescape(raw string) string {
	given, err := parse("k = " + raw)
	if s, ok := given["k"].(string); ok && err == nil {
		return s
	}
	return raw
}

// value reads a value and notes the places of the keys and elements in it.
func (s *scanner) value(path string) {
	if s.depth++; s.depth > maxNesting {
		s.at = len(s.text)
	}
	defer func() { s.depth-- }()
	switch s.peek() {
	case '"', '\'':
		s.quoted()
	case '[':
		s.array(path)
	case '{':
		s.inline(path)
	default:
		s.until(",]}#\r\n")
	}
}

// quoted goes over a string of any of TOML's four kinds.
func (s *scanner) quoted() {
	quote := s.text[s.at : s.at+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.at:], triple) {
		s.at += 3
		s.closing(triple)
		for range 2 { // up to two quotes may stand before the closing three
			s.pass(quote[0])
		}
		return
	}
	s.at++
	s.closing(quote)
}

// closing goes over the rest of a string, its closing quotes included.
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
			return // not valid TOML; stopping here lets the lines below still be found
		default:
			s.at++
		}
	}
}

// array reads a list and notes each element.
func (s *scanner) array(path string) {
	s.at++
	for i := 0; ; i++ {
		s.blank()
		if s.at >= len(s.text) || s.pass(']') {
			return
		}
		element := fmt.Sprintf("%s[%d]", path, i)
		s.note(element, s.at)
		before := s.at
		s.value(element)
		if !s.comma(before) {
			return
		}
	}
}

// inline reads { a = 1, b = 2 }. Its keys have paths like those of a table with a header.
func (s *scanner) inline(table string) {
	s.at++
	for {
		s.blank()
		if s.at >= len(s.text) || s.pass('}') {
			return
		}
		before := s.at
		s.pair(table)
		if !s.comma(before) {
			return
		}
	}
}

// comma goes over the comma behind an element that began at before. It is false when nothing was read: the text is not
// valid there, and going on would never end.
func (s *scanner) comma(before int) bool {
	s.blank()
	s.pass(',')
	return s.at > before
}
