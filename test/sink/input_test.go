package sink

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestInputMessage(t *testing.T) {
	for _, c := range []struct{ name, wire, want, rest string }{
		{"empty", ".\r\nQUIT", "", "QUIT"},
		{"one line", "a\r\n.\r\n", "a\r\n", ""},
		{"stuffed", "..\r\n...\r\n.a\r\n.\r\nX", ".\r\n..\r\na\r\n", "X"},
		{"dot inside a line", "a.b\r\n.\r\n", "a.b\r\n", ""},
		{"bare LF does not end it", "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", ""},
		{"bare LF hides no dot", "a\n..b\r\n.\r\n", "a\n..b\r\n", ""},
		{"dot then bare LF", "a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", ""},
		{"dot then bare CR", "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", ""},
		{"CR CR LF", "a\r\r\n.\r\n", "a\r\r\n", ""},
		{"NUL and 8 bit", "\x00\xff\r\n.\r\n", "\x00\xff\r\n", ""},
		{"empty lines", "\r\n\r\n.\r\n", "\r\n\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, src := range []io.Reader{strings.NewReader(c.wire), iotest.OneByteReader(strings.NewReader(c.wire))} {
				in := newInput(src)
				got, err := in.message(nil, 1000)
				if err != nil || string(got) != c.want {
					t.Fatalf("message %q, %v; want %q", got, err, c.want)
				}
				rest, _ := io.ReadAll(io.MultiReader(bytes.NewReader(in.buf[in.r:in.w]), src))
				if string(rest) != c.rest {
					t.Errorf("left %q, want %q", rest, c.rest)
				}
			}
		})
	}
}

func TestInputMessageErrors(t *testing.T) {
	in := newInput(strings.NewReader(strings.Repeat("x", 100) + "\r\n.\r\nNOOP\r\n"))
	if _, err := in.message(nil, 50); !errors.Is(err, errTooBig) {
		t.Errorf("too big: %v", err)
	}
	if line, err := in.line(); err != nil || string(line) != "NOOP" {
		t.Errorf("after a message that was too big: %q, %v", line, err)
	}
	if _, err := newInput(strings.NewReader("cut off\r\n.")).message(nil, 50); !errors.Is(err, io.EOF) {
		t.Errorf("cut off: %v", err)
	}
}

func TestInputLine(t *testing.T) {
	in := newInput(iotest.HalfReader(strings.NewReader("one\r\ntwo\n\r\n" + strings.Repeat("x", maxLine+2) + "\r\n")))
	for _, want := range []string{"one", "two", ""} {
		if line, err := in.line(); err != nil || string(line) != want {
			t.Errorf("line %q, %v; want %q", line, err, want)
		}
	}
	if _, err := newInput(strings.NewReader(strings.Repeat("x", 2*maxLine))).line(); !errors.Is(err, errLongLine) {
		t.Errorf("long line: %v", err)
	}
}

func TestInputBlock(t *testing.T) {
	in := newInput(iotest.OneByteReader(strings.NewReader("12345678901234567890QUIT\r\n")))
	got, err := in.block([]byte("0"), 10, 11)
	if err != nil || string(got) != "01234567890" {
		t.Fatalf("block %q, %v", got, err)
	}
	if _, err := in.block(got, 10, 11); !errors.Is(err, errTooBig) {
		t.Errorf("block over the limit: %v", err)
	}
	if line, _ := in.line(); string(line) != "QUIT" {
		t.Errorf("after the blocks: %q", line)
	}
}

// slowMessage is the obvious way to read a message, line by line.
func slowMessage(wire []byte) (message []byte, ok bool) {
	for {
		i := bytes.Index(wire, []byte("\r\n"))
		if i < 0 {
			return nil, false
		}
		line := wire[:i+2]
		wire = wire[i+2:]
		if string(line) == ".\r\n" {
			return message, true
		}
		message = append(message, bytes.TrimPrefix(line, []byte("."))...)
	}
}

func FuzzInputMessage(f *testing.F) {
	f.Add([]byte("a\r\n..b\r\n.\r\nrest"), 3)
	f.Add([]byte("\r\n.\r.\r\n\r\n.\r\n"), 1)
	f.Add([]byte(".\n.\r\n..\r\n.\r\n"), 64)
	f.Fuzz(func(t *testing.T, wire []byte, step int) {
		in := newInput(&stepReader{bytes.NewReader(wire), max(1, step%128)})
		got, err := in.message(nil, 1<<20)
		want, ok := slowMessage(wire)
		if ok != (err == nil) || ok && !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q, %v; want %q, %v", wire, got, err, want, ok)
		}
	})
}

// stepReader returns at most step bytes at a time.
type stepReader struct {
	r    io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.step)]) }
