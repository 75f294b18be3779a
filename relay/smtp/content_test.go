package smtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func slicesOf(ss []string) [][]byte {
	var out [][]byte
	for _, s := range ss {
		out = append(out, []byte(s))
	}
	return out
}

// stuffed returns the bytes that stuff emits for content, and its form.
func stuffed(content [][]byte) ([]byte, Form) {
	f := FormOf(content)
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
		got, f := stuffed(slicesOf(tt.content))
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
	f := FormOf(content)
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
		wire, f := stuffed(cut(t, text))
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
		if got, want := FormOf(content), formByByte(text); got != want {
			t.Fatalf("%q: got %+v, want %+v", text, got, want)
		}
		if err := FormOf(content).smuggles(); err != nil {
			if !bytes.ContainsAny(text, "\r\n") {
				t.Fatalf("%q refused: %v", text, err)
			}
			return
		}
		wire, _ := stuffed(content)
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
