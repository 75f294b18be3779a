package filter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	for _, tt := range []struct{ header, want string }{
		{"", ""},
		{"A: b\r\n", `"A"=" b"`},
		{"A:b\r\nC:\r\n", `"A"="b" "C"=""`},
		{"A: b\r\n\tc\r\n d\r\nE: f\r\n", `"A"=" b\r\n\tc\r\n d" "E"=" f"`},
		{"A : b\r\n", `"A"=" b"`},
		{"no field\r\nA: b\r\n", `"A"=" b"`},
		{": nameless\r\nA: b", `"A"=" b"`},
		{"A: bare\nB: c\n", `"A"=" bare\n" "B"=" c\n"`},
		{"A: b:c\r\n", `"A"=" b:c"`},
	} {
		var got []string
		for name, value := range Fields([]byte(tt.header)) {
			got = append(got, fmt.Sprintf("%q=%q", name, value))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%q: %s, want %s", tt.header, s, tt.want)
		}
	}
}

func TestFieldsStops(t *testing.T) {
	n := 0
	for range Fields([]byte("A: 1\r\nB: 2\r\nC: 3\r\n")) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d fields after break", n)
	}
}

func TestUnfold(t *testing.T) {
	for in, want := range map[string]string{
		" x ": "x", "": "", " a\r\n\tb": "a\tb", "\r\n x\r\n": "x",
	} {
		if got := unfold([]byte(in)); string(got) != want {
			t.Errorf("unfold(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFieldIs(t *testing.T) {
	if !FieldIs([]byte("MESSAGE-id"), "message-id") || FieldIs([]byte("Message-I"), "message-id") || FieldIs([]byte("Xessage-id"), "message-id") {
		t.Error("wrong comparison of field names")
	}
}

// FuzzFields holds that no field spans what is not its own: all of them, put together, are parts of the header in order.
func FuzzFields(f *testing.F) {
	f.Add([]byte("A: b\r\n c\r\nD: e\r\n"))
	f.Add([]byte("\n\r\n: \r\nx"))
	f.Fuzz(func(t *testing.T, header []byte) {
		rest := header
		for name, value := range Fields(header) {
			i := bytes.Index(rest, name)
			if i < 0 || len(name) == 0 {
				t.Fatalf("name %q is not in what is left, %q", name, rest)
			}
			rest = rest[i+len(name):]
			if i = bytes.Index(rest, value); i < 0 {
				t.Fatalf("value %q is not in what is left, %q", value, rest)
			}
			rest = rest[i+len(value):]
		}
	})
}
