package main

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
)

// TestWriteAll: a list is written as far as it came, with its error, in both forms; an empty one has words for people alone.
func TestWriteAll(t *testing.T) {
	broken := errors.New("broken off")
	list := func(err error, names ...string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, n := range names {
				if !yield(n, nil) {
					return
				}
			}
			if err != nil {
				yield("", err)
			}
		}
	}
	for _, c := range []struct {
		what       string
		list       iter.Seq2[string, error]
		text, json string
		err        error
	}{
		{"empty", list(nil), "none\n", "", nil},
		{"two", list(nil, "a<b&c", "d"), "a<b&c\n\nd\n", "\"a<b&c\"\n\"d\"\n", nil},
		{"broken off", list(broken, "a"), "a\n", "\"a\"\n", broken},
		{"not there", list(broken), "", "", broken},
	} {
		for _, asJSON := range []bool{false, true} {
			var b strings.Builder
			l := lister{w: bufio.NewWriter(&b), json: asJSON}
			err := writeAll(&l, about("x\x1b", c.list), func(v *string) error {
				l.next()
				_, err := io.WriteString(l.w, *v+"\n")
				return err
			}, "none\n")
			want := c.text
			if asJSON {
				want = c.json
			}
			if b.String() != want || !errors.Is(err, c.err) || err != nil && err.Error() != "x?: broken off" {
				t.Errorf("%s, JSON %v: %q, %v; want %q, %v", c.what, asJSON, b.String(), err, want, c.err)
			}
		}
	}
}

// TestWriteAllEndsWithItsReader: an endless list ends when nobody reads any more.
func TestWriteAllEndsWithItsReader(t *testing.T) {
	endless := func(yield func(string, error) bool) {
		for yield("a", nil) {
		}
	}
	for _, asJSON := range []bool{false, true} {
		l := lister{w: bufio.NewWriter(full{}), json: asJSON}
		err := writeAll(&l, endless, func(v *string) error { _, err := l.w.WriteString(*v); return err }, "")
		if err == nil {
			t.Errorf("JSON %v: no error", asJSON)
		}
	}
}
