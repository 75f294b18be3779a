package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSendable(t *testing.T) {
	full := strings.Repeat("a", 998)
	tests := []struct {
		name    string
		content []string
		want    error
	}{
		{"plain", []string{"a: b\r\n\r\nc\r\n"}, nil},
		{"empty", nil, nil},
		{"no last CRLF", []string{"a"}, nil},
		{"CR LF over two slices", []string{"a\r", "\nb\r\n"}, nil},
		{"empty slices between", []string{"a\r", "", "\nb"}, nil},
		{"998 bytes", []string{full + "\r\n" + full}, nil},
		{"999 bytes", []string{full + "x\r\n"}, ErrLongLine},
		{"999 bytes over slices", []string{full[:500], full[:499], "\r\n"}, ErrLongLine},
		{"999 bytes at the end", []string{"a\r\n" + full + "x"}, ErrLongLine},
		{"NUL", []string{"a\x00b\r\n"}, ErrNUL},
		{"bare LF", []string{"a\nb\r\n"}, ErrBareLF},
		{"LF first", []string{"\na"}, ErrBareLF},
		{"LF first in a later slice", []string{"a", "\nb"}, ErrBareLF},
		{"LF twice", []string{"a\r\n", "\nb"}, ErrBareLF},
		{"bare CR", []string{"a\rb\r\n"}, ErrBareCR},
		{"CR last", []string{"a\r"}, ErrBareCR},
		{"CR CR LF", []string{"a\r\r\n"}, ErrBareCR},
		{"CR CR LF over slices", []string{"a\r", "\r\n"}, ErrBareCR},
		{"LF.LF", []string{"a\n.\nMAIL FROM:<x@y>\r\n"}, ErrBareLF},
		{"CR.CR", []string{"a\r.\rMAIL FROM:<x@y>\r\n"}, ErrBareCR},
		{"CR LF.CR", []string{"a\r\n.\rb\r\n"}, ErrBareCR},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Sendable(slicesOf(tt.content)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func slicesOf(ss []string) [][]byte {
	var out [][]byte
	for _, s := range ss {
		out = append(out, []byte(s))
	}
	return out
}

// stuffed returns the bytes that stuff emits for content, and its form.
func stuffed(t interface{ Fatal(...any) }, content [][]byte) ([]byte, form) {
	f, err := inspect(content)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	_ = stuff(content, f, func(b []byte) error {
		out = append(out, b...)
		return nil
	})
	return out, f
}

func TestStuff(t *testing.T) {
	tests := []struct {
		content []string
		want    string
	}{
		{[]string{"a\r\n.\r\nb\r\n"}, "a\r\n..\r\nb\r\n"},
		{[]string{".a"}, "..a\r\n"},
		{[]string{"a\r\n", ".b"}, "a\r\n..b\r\n"},
		{[]string{"a\r", "\n", "", ".", "b"}, "a\r\n..b\r\n"},
		{[]string{"a", ".b\r\n"}, "a.b\r\n"},
		{[]string{".\r\n.\r\n", ".\r\n"}, "..\r\n..\r\n..\r\n"},
		{[]string{"..\r\n"}, "...\r\n"},
		{nil, ""},
		{[]string{""}, ""},
	}
	for _, tt := range tests {
		got, f := stuffed(t, slicesOf(tt.content))
		if string(got) != tt.want {
			t.Errorf("%q: got %q, want %q", tt.content, got, tt.want)
		}
		if f.wire() != int64(len(tt.want)+3) {
			t.Errorf("%q: wire is %d, want %d", tt.content, f.wire(), len(tt.want)+3)
		}
	}
}

func TestStuffStopsAtError(t *testing.T) {
	content := slicesOf([]string{".a\r\n.b\r\n", "c"})
	f, _ := inspect(content)
	for stop := range 5 {
		calls, end := 0, errors.New("end")
		err := stuff(content, f, func([]byte) error {
			if calls++; calls > stop {
				return end
			}
			return nil
		})
		if !errors.Is(err, end) || calls != stop+1 {
			t.Errorf("stop after %d: %v after %d calls", stop, err, calls)
		}
	}
}

// unstuff is the receiver's side of RFC 5321, 4.5.2, written the other way
// round: it works on lines. It returns the bytes behind the end of data as rest.
func unstuff(wire []byte) (content, rest []byte, ok bool) {
	for {
		line, after, found := bytes.Cut(wire, []byte("\r\n"))
		if !found {
			return content, wire, false
		}
		wire = after
		if string(line) == "." {
			return content, wire, true
		}
		content = append(content, bytes.TrimPrefix(line, []byte{'.'})...)
		content = append(content, "\r\n"...)
	}
}

// lines draws text in CRLF lines that is rich in dots, with or without the last CRLF.
func lines(t *rapid.T) []byte {
	line := rapid.StringOfN(rapid.SampledFrom([]rune{'.', 'a', ' ', '\t'}), 0, 4, -1)
	text := strings.Join(rapid.SliceOfN(line, 0, 8).Draw(t, "lines"), "\r\n")
	return []byte(text)
}

// cut draws a slicing of b, empty slices included.
func cut(t *rapid.T, b []byte) [][]byte {
	var out [][]byte
	for len(b) > 0 {
		n := rapid.IntRange(0, len(b)).Draw(t, "cut")
		out = append(out, b[:n])
		b = b[n:]
	}
	return out
}

func TestStuffRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := lines(t)
		want := bytes.Clone(text)
		if len(want) > 0 && !bytes.HasSuffix(want, []byte("\r\n")) {
			want = append(want, "\r\n"...)
		}
		wire, f := stuffed(t, cut(t, text))
		wire = append(wire, ".\r\nNEXT"...)
		if int64(len(wire)) != f.wire()+4 {
			t.Fatalf("wire is %d, said %d", len(wire)-4, f.wire())
		}
		got, rest, ok := unstuff(wire)
		if !ok || string(rest) != "NEXT" || !bytes.Equal(got, want) {
			t.Fatalf("%q became %q, then %q", text, got, rest)
		}
	})
}

// FuzzContent holds the promise about the end of data: content that is not refused
// shows no other end of data, even to a receiver that takes a bare CR or LF for
// the end of a line.
func FuzzContent(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\nb", "\n.\n", "\r.\r", "a\r\n", ".", "a\r\r\n.\r\n", "\r\n.\n", ""} {
		f.Add([]byte(s), uint16(2))
	}
	f.Fuzz(func(t *testing.T, text []byte, at uint16) {
		i := int(at) % (len(text) + 1)
		content := [][]byte{text[:i], text[i:]}
		if _, err := inspect(content); err != nil {
			if !bytes.ContainsAny(text, "\r\n") {
				t.Fatalf("%q refused: %v", text, err)
			}
			return
		}
		wire, _ := stuffed(t, content)
		lenient := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace("\n" + string(wire))
		if strings.Contains(lenient, "\n.\n") {
			t.Fatalf("%q shows an end of data in %q", text, wire)
		}
		got, _, ok := unstuff(append(wire, ".\r\n"...))
		if !ok || !bytes.Equal(bytes.TrimSuffix(got, []byte("\r\n")), bytes.TrimSuffix(text, []byte("\r\n"))) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func BenchmarkInspect(b *testing.B) {
	content := [][]byte{bytes.Repeat([]byte(strings.Repeat("x", 70)+"\r\n"), 280)}
	b.SetBytes(int64(len(content[0])))
	for b.Loop() {
		if _, err := inspect(content); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleSendable() {
	fmt.Println(Sendable([][]byte{[]byte("Subject: a\r\n\r\nfirst\nsecond\r\n")}))
	// Output: content has a bare LF
}
