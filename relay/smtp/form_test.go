package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/quick"
	"testing/synctest"

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
			if err := FormOf(slicesOf(tt.content)).Sendable(); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// formByByte is what FormOf must find, written the other way round: byte by byte.
func formByByte(text []byte) Form {
	f := Form{Size: int64(len(text))}
	line := 0
	for i, c := range text {
		follows := i > 0 && text[i-1] == '\r'
		switch {
		case c == '\n' && !follows:
			f.Traits |= BareLF
		case c != '\n' && follows:
			f.Traits |= BareCR
		case c == '.' && line == 0:
			f.Dots++
		}
		if c == 0 {
			f.Traits |= HasNUL
		}
		if c > 127 {
			f.Traits |= EightBit
		}
		if line++; line > 1000 && c == '\n' {
			f.Traits |= LongLine
		}
		if c == '\n' {
			line = 0
		}
	}
	if line > 0 {
		f.Traits |= Unfinished
	}
	if line > 998 {
		f.Traits |= LongLine
	}
	if bytes.HasSuffix(text, []byte("\r")) {
		f.Traits |= BareCR
	}
	return f
}

// TestWalk walks over texts rich in odd bytes, some longer than a stride, however they are cut.
func TestWalk(t *testing.T) {
	chunk := rapid.SampledFrom([]string{"\r\n", "\r\n.", ".", "a", "\r", "\n", "\x00", "\x80", "\xff", "\x01",
		strings.Repeat("b", 60), strings.Repeat("c", 997), strings.Repeat("d", stride)})
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(chunk, 0, 12).Draw(t, "text"), ""))
		var w Walk
		for _, b := range cut(t, text) {
			if n, err := w.Write(b); n != len(b) || err != nil {
				t.Fatal(n, err)
			}
		}
		if got, want := w.Form(), formByByte(text); got != want {
			t.Fatalf("%q: got %+v, want %+v", text, got, want)
		}
	})
}

// TestOctets puts each byte into each place among bytes of every value but the two that are looked for.
func TestOctets(t *testing.T) {
	err := quick.Check(func(seed uint64, c byte) bool {
		r := rand.New(rand.NewPCG(seed, 0))
		b := make([]byte, 1+r.IntN(100))
		for i := range b {
			b[i] = byte(1 + r.IntN(127))
		}
		b[r.IntN(len(b))] = c
		return octets(b) == formByByte(b).Traits&(EightBit|HasNUL)
	}, &quick.Config{MaxCount: 20000})
	if err != nil {
		t.Error(err)
	}
}

// TestFormOfCaller: a form that the caller gives is believed when it can be that of the bytes; else they are walked over.
func TestFormOfCaller(t *testing.T) {
	tx := Transaction{Content: slicesOf([]string{".a\r\n", ".b"})}
	want := FormOf(tx.Content)
	if want != (Form{Size: 6, Dots: 2, Traits: Unfinished}) {
		t.Fatalf("%+v", want)
	}
	given := Form{Size: 6, Traits: LongLine | Unfinished}
	for _, tt := range []struct{ given, want Form }{{Form{}, want}, {given, given}, {Form{Size: 5}, want}, {Form{Size: 6, Traits: LongLine}, want}} {
		if tx.Form = tt.given; tx.form() != tt.want {
			t.Errorf("%+v became %+v", tt.given, tx.form())
		}
	}
}

func BenchmarkWalk(b *testing.B) {
	for _, width := range []int{30, 70, 900} {
		b.Run(fmt.Sprintf("line=%d", width), func(b *testing.B) {
			text := bytes.Repeat([]byte(strings.Repeat("x", width)+"\r\n"), 20000/(width+2))
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var w Walk
				w.add(text)
				if w.Form().Traits != 0 {
					b.Fatal(w.Form())
				}
			}
		})
	}
}

func ExampleForm_Sendable() {
	fmt.Println(FormOf([][]byte{[]byte("Subject: a\r\n\r\nfirst\nsecond\r\n")}).Sendable())
	// Output: content has a bare LF
}

// Facts that the last bytes belie are not believed: without its CRLF the last line would swallow the dot, and the peer would wait for
// it until it is tired.
func TestFormThatTheEndBelies(t *testing.T) {
	for body, traits := range map[string]Traits{"a\r\nb": 0, "a\r\nb\r\n": Unfinished} {
		synctest.Test(t, func(t *testing.T) {
			var got string
			c := polite(t, "250-mx.example\r\n250 PIPELINING", func(b string) { got = b })
			tx := message("b@b.example")
			tx.Content = [][]byte{[]byte(body), nil}
			tx.Form = Form{Size: int64(len(body)), Traits: traits}
			if _, err := deliver(c, tx); err != nil || !tx.Results[0].Sent() || got != "a\r\nb\r\n" {
				t.Errorf("%q: %v, %s, got %q", body, err, outcome(tx.Results[0]), got)
			}
		})
	}
}
