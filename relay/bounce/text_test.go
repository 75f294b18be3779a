package bounce

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	long := strings.Repeat("é", maxText)
	tests := []struct {
		s        script
		in, want string
	}{
		{asciiOnly, "550 no such user", "550 no such user"},
		{asciiOnly, " a\t b\r\nc \u2028 d ", "a b c d"},
		{asciiOnly, "nul\x00esc\x1bdel\x7f", "nul?esc?del?"},
		{asciiOnly, "jürgen", "j?rgen"},
		{withUTF8, "jürgen 用户", "jürgen 用户"},
		{withUTF8, "\xff\u202e\u0080", "???"},
		{withUTF8, "a\u0085b", "a b"},
		{withUTF8, long, long[:maxText] + "..."},
		{asciiOnly, "", ""},
	}
	for _, tt := range tests {
		if got := tt.s.clean(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"", []string{""}},
		{"one two three", []string{"one two", "three"}},
		{"onetwothree", []string{"onetwothree"}},
		{"a onetwothree b", []string{"a", "onetwothree", "b"}},
		{"12345678", []string{"12345678"}},
		{"1234 678 0", []string{"1234 678", "0"}},
		{strings.Repeat("x", maxWord+1), []string{strings.Repeat("x", maxWord), "x"}},
	}
	for _, tt := range tests {
		if got := wrap(tt.in, 8); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, s := range []string{"", "abc", "äöü", "用户用户", "\xff\xff\xff\xff\xff\xff"} {
		for n := 1; n < 8; n++ {
			head, tail := cut(s, n)
			if head+tail != s || tail != "" && head == "" || utf8.ValidString(s) && n >= 3 && !utf8.ValidString(head) {
				t.Errorf("cut(%q, %d) = %q, %q", s, n, head, tail)
			}
		}
	}
}

// Folding is undone by every reader: the words come back.
func FuzzField(f *testing.F) {
	f.Add("Diagnostic-Code", "smtp; 550 5.1.1 <carol@gone.example>: Recipient address rejected: User unknown in virtual mailbox table")
	f.Add("X", strings.Repeat("x", 3000))
	f.Fuzz(func(t *testing.T, name, value string) {
		if len(name) > 60 || strings.ContainsAny(name, ":\r\n") {
			return
		}
		value = withUTF8.clean(value)
		var b bytes.Buffer
		field(&b, name, value)
		got, ok := strings.CutPrefix(b.String(), name+": ")
		if !ok || !strings.HasSuffix(got, "\r\n") {
			t.Fatalf("%q", b.String())
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(b.String(), "\r\n"), "\r\n") {
			if len(line) > maxLine || strings.TrimSpace(line) == "" {
				t.Fatalf("a line of %d bytes: %q", len(line), line)
			}
		}
		folded := strings.ReplaceAll(strings.TrimSuffix(got, "\r\n"), "\r\n ", "")
		if strings.ReplaceAll(folded, " ", "") != strings.ReplaceAll(value, " ", "") {
			t.Errorf("%q came back as %q", value, folded)
		}
	})
}

func TestDecodeXtext(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"", "", true}, {"abc", "abc", true}, {"a+2Bb", "a+b", true}, {"+3D+2B", "=+", true}, {"+0D+0A", "\r\n", true},
		{"+", "", false}, {"+2", "", false}, {"a+2b", "", false}, {"+GG", "", false}, {"x+2B+", "", false},
	}
	for _, tt := range tests {
		if got, ok := decodeXtext(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %q, %v; want %q, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzDecodeXtext: encoded text comes back, and nothing panics.
func FuzzDecodeXtext(f *testing.F) {
	f.Add("a+2Bb")
	f.Add("+")
	f.Fuzz(func(t *testing.T, s string) {
		decodeXtext(s)
		var encoded strings.Builder
		for i := range len(s) {
			encoded.WriteString("+" + string("0123456789ABCDEF"[s[i]>>4]) + string("0123456789ABCDEF"[s[i]&15]))
		}
		if got, ok := decodeXtext(encoded.String()); got != s || !ok {
			t.Errorf("%q came back as %q, %v", s, got, ok)
		}
	})
}

func TestReturnedHeader(t *testing.T) {
	tests := []struct {
		name, in, want string
		limit          int
	}{
		{"as it is", "A: b\r\nC: d\r\n e\r\n", "A: b\r\nC: d\r\n e\r\n", 100},
		{"a big field is left out, later ones are not", "A: b\r\nC: dddddddddddd\r\n eeeeeeeeee\r\nF: g\r\n", "A: b\r\nF: g\r\n", 20},
		{"full", "A: b\r\nC: d\r\nE: f\r\n", "A: b\r\nC: d\r\n", 12},
		{"bare LF, bare CR, NUL", "A: b\nC: d\re\r\nF\x00: g", "A: b\r\nC: d e\r\nF: g\r\n", 100},
		{"empty lines", "A: b\r\n\r\n \t\r\nC: d\r\n\r\n", "A: b\r\nC: d\r\n", 100},
		{"empty", "", "", 100},
		{"long line", "A: " + strings.Repeat("x", 1500) + "\r\n", "A: " + strings.Repeat("x", 994) + "\r\n " + strings.Repeat("x", 506) + "\r\n", 2000},
	}
	for _, tt := range tests {
		if got := string(returnedHeader([]byte(tt.in), tt.limit)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
