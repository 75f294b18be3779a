package smtpd

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// spoken is a connection from which an MTA's words come in pieces of a size.
type spoken struct {
	net.Conn
	text string
	step int
}

func (s *spoken) SetReadDeadline(time.Time) error { return nil }
func (s *spoken) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.text)
	s.text = s.text[n:]
	return n, nil
}

func TestReplies(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"250 2.0.0 Ok\r\n", "250 2.0.0 Ok"},
		{"250\n", "250"},
		{"250-a\r\n250-b\r\n250 c\r\n", "250 a b c"},
		{"250-2.1.0 a\r\n550 5.1.1 b\r\n", "550 5.1.1 a b"},
		{"450 5.1.1 not of this class\r\n", "450 5.1.1 not of this class"},
		{"550 5.1.1\r\n", "550 5.1.1"},
		{"550 5.1. x\r\n", "550 5.1. x"},
		{"550 a\rb\x00c\x1b[1m\xff\r\n", "550 a?b?c?[1m?"},
		{"550 " + strings.Repeat("x", hearLine) + "\r\n250 next\r\n", "550 " + strings.Repeat("x", hearText)},
		{"550 " + strings.Repeat("ä", hearLine) + "\r\n", "550 " + strings.Repeat("ä", hearText/2)},
		{strings.Repeat("250-a\r\n", hearLines) + "250 b\r\n", "error"},
		{strings.Repeat("x", hearReply) + "\r\n", "error"},
		{"250x\r\n", "error"},
		{"199 a\r\n", "error"},
		{"25\r\n", "error"},
		{"", "error"},
		{"250 without an end", "error"},
		{"250-a\r\n", "error"},
	} {
		for _, step := range []int{1, 7, hearLine} {
			a := answers{nc: &spoken{text: test.in, step: step}}
			r, err := a.read(time.Time{}, nil)
			got := r.String()
			if err != nil {
				got = "error"
			}
			if got != test.want {
				t.Errorf("%.40q: %q (%v), want %q", test.in, got, err, test.want)
			}
		}
	}
}

// A reply of the MTA reads the same however it comes, and nothing in it can end our own reply's line.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"250 2.0.0 Ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 \x00\r\r\n", "354\n", "250-" + strings.Repeat("x", 5000) + "\r\n250 y\r\n250 z\r\n",
	} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, step int) {
		step = max(1, min(step, 1<<16))
		whole, cut := answers{nc: &spoken{text: s, step: 1 << 20}}, answers{nc: &spoken{text: s, step: step}}
		for range 10 {
			a, errA := whole.read(time.Time{}, nil)
			b, errB := cut.read(time.Time{}, nil)
			if a != b || (errA == nil) != (errB == nil) {
				t.Fatalf("%v %v, in pieces %v %v", a, errA, b, errB)
			}
			if errA != nil {
				return
			}
			if a.code < 200 || a.code > 599 || len(a.text) > hearText || !utf8.ValidString(a.text) || strings.ContainsFunc(a.text, unicode.IsControl) {
				t.Fatalf("%+v", a)
			}
			if wire := a.append(nil); len(wire) > 512 || strings.Count(string(wire), "\n") != 1 {
				t.Fatalf("%q", wire)
			}
		}
	})
}

func TestReplyTimeout(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	a := answers{nc: client}
	go io.WriteString(server, "250-half a reply\r\n")
	if _, err := a.read(time.Now().Add(20*time.Millisecond), nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
