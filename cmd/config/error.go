package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing wrong with a configuration.
type Error struct {
	File   string // as it was given; empty when the configuration did not come from a file
	Line   int    // from 1; 0 when it is about no line
	Column int    // of the value, in characters from 1; 0 when the whole line is meant
	Key    string // as "bulk.rule[1].value", elements counted from 0; empty when it is about no key
	Other  string // another key that it is about; empty when there is none
	Text   string // the mistake and its repair
}

// Error is one line: "millrace.toml:12: queue.order: ...". Editors and compilers have the same form, so an editor finds the
// place.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		for _, n := range []int{e.Line, e.Column} {
			if n > 0 {
				fmt.Fprintf(&b, ":%d", n)
			}
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Text)
	return strings.ToValidUTF8(strings.Map(printable, b.String()), "?")
}

// printable keeps an error on its line, and the terminal safe, when the file holds control characters.
func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

// Errors is every mistake of a configuration, in the order of the lines. It is a type of its own because the exit status
// depends on it: a mistake in the configuration ends with 78.
type Errors []*Error

// Error is one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// orNil returns an error that compares equal to nil when there is no mistake: empty Errors in an error would not.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// sort orders by place. Errors without a place come last: they are about keys that are missing.
func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
}
