package smtp

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// heard reads one reply from text.
func heard(text string) (raw, error) {
	client, server := newWire(1 << 20)
	_, _ = server.Write([]byte(text))
	server.Close()
	var r reader
	r.reset(client)
	return r.readReply(time.Hour, time.Time{})
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 3000)
	tests := []struct {
		name, in string
		want     Reply
		fails    error
	}{
		{"one line", "250 2.0.0 OK queued\r\n", Reply{250, "2.0.0", []string{"OK queued"}}, nil},
		{"several lines", "550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", Reply{550, "5.1.1", []string{"no", "such", "user"}}, nil},
		{"code in the last line only", "450-wait\r\n450 4.2.0 later\r\n", Reply{450, "4.2.0", []string{"wait", "later"}}, nil},
		{"no text", "250\r\n", Reply{250, "", []string{""}}, nil},
		{"no text but a space", "354 \r\n", Reply{354, "", []string{""}}, nil},
		{"no text in many lines", "250-\r\n250\r\n", Reply{250, "", []string{"", ""}}, nil},
		{"status without text", "250 2.1.0\r\n", Reply{250, "2.1.0", []string{""}}, nil},
		{"bare LF", "250-a\n250 b\n", Reply{250, "", []string{"a", "b"}}, nil},
		{"status of another class", "550 4.7.1 odd\r\n", Reply{550, "", []string{"4.7.1 odd"}}, nil},
		{"address and no status", "250 2.1.1.5 hi\r\n", Reply{250, "", []string{"2.1.1.5 hi"}}, nil},
		{"number and no status", "550 5.1000.1 hi\r\n", Reply{550, "", []string{"5.1000.1 hi"}}, nil},
		{"unfinished status", "550 5.1. hi\r\n", Reply{550, "", []string{"5.1. hi"}}, nil},
		{"long line is cut", "250 " + long + "\r\n", Reply{250, "", []string{long[:keepLine-4]}}, nil},
		{"line longer than the buffer", "250 " + long + long + "\r\n", Reply{250, "", []string{long[:keepLine-4]}}, nil},
		{"line longer than the buffer goes on", "250-" + long + long + "\r\n250 b\r\n", Reply{250, "", []string{long[:keepLine-4], "b"}}, nil},
		{"line without end", "250 " + strings.Repeat(long, 200), Reply{}, errProtocol},
		{"codes change", "250-a\r\n550 5.1.1 b\r\n", Reply{550, "5.1.1", []string{"a", "b"}}, nil},
		{"codes change within a class", "200-scanned\r\n250 2.0.0 ok\r\n", Reply{250, "2.0.0", []string{"scanned", "ok"}}, nil},
		{"the last status counts", "450-4.2.0 see\r\n451 4.7.1 later\r\n", Reply{451, "4.7.1", []string{"see", "later"}}, nil},
		{"the last line has no status", "550-5.1.1 no\r\n550 bye\r\n", Reply{550, "5.1.1", []string{"no", "bye"}}, nil},
		{"code 999", "999 what\r\n", Reply{999, "", []string{"what"}}, nil},
		{"code 199", "199 what\r\n", Reply{199, "", []string{"what"}}, nil},
		{"code 099", "099 what\r\n250 ok\r\n", Reply{250, "", []string{"ok"}}, nil},
		{"two digits", "25 OK\r\n250 ok\r\n", Reply{250, "", []string{"ok"}}, nil},
		{"no separator", "250OK\r\n250 ok\r\n", Reply{250, "", []string{"ok"}}, nil},
		{"another separator", "250\tOK\r\n250 ok\r\n", Reply{250, "", []string{"ok"}}, nil},
		{"blank before the code", " 250 OK\r\n250 ok\r\n", Reply{250, "", []string{"ok"}}, nil},
		{"garbage", "\x16\x03\x01\x02\x00\n250 ok\r\n", Reply{250, "", []string{"ok"}}, nil},
		{"garbage within", "250-a\r\nwhat\r\n250 b\r\n", Reply{250, "", []string{"a", "b"}}, nil},
		{"empty line", "\r\n250 ok\r\n", Reply{250, "", []string{"ok"}}, nil},
		{"long garbage", long + long + "\r\n250 ok\r\n", Reply{250, "", []string{"ok"}}, nil},
		{"CR CR LF", "250-a\r\r\n250\r\r\n", Reply{250, "", []string{"a", ""}}, nil},
		{"NUL", "250 a\x00b\r\n", Reply{250, "", []string{"a"}}, nil},
		{"NUL behind the code", "250\x00b\r\n", Reply{250, "", []string{""}}, nil},
		{"garbage and the end", "HTTP/1.1 400 no\r\n", Reply{}, io.EOF},
		{"garbage without end", strings.Repeat("what\r\n", 200), Reply{}, errProtocol},
		{"lines without end", strings.Repeat("250-x\r\n", 1<<17), Reply{}, errProtocol},
		{"at the line limit", strings.Repeat("250-x\r\n", 99) + "250 y\r\n", Reply{250, "", append(slices.Repeat([]string{"x"}, 99), "y")}, nil},
		{"over the line limit", strings.Repeat("250-x\r\n", 9999) + "250 y\r\n", Reply{250, "", append(slices.Repeat([]string{"x"}, 99), "y")}, nil},
		{"over the limit of the text", strings.Repeat("250-"+long[:1000]+"\r\n", 50) + "251 y\r\n", Reply{251, "", append(slices.Repeat([]string{long[:1000]}, 5), "y")}, nil},
		{"ends within", "250-a\r\n250", Reply{}, io.EOF},
		{"nothing", "", Reply{}, io.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := heard(tt.in)
			if !errors.Is(err, tt.fails) {
				t.Fatalf("error %v, want %v", err, tt.fails)
			}
			if err != nil {
				return
			}
			got := r.whole()
			if got.Code != tt.want.Code || got.Enhanced != tt.want.Enhanced || !slices.Equal(got.Lines, tt.want.Lines) {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// What is kept of a reply is bounded, and its last line is among it.
func TestReplyIsClipped(t *testing.T) {
	long := func(n int) string { return strings.Repeat("y", n) }
	for name, text := range map[string]string{
		"one line":          long(5000),
		"many short lines":  strings.Repeat("short\n", 900) + "the reason",
		"a long line first": long(5000) + "\nthe reason",
		"a long line last":  "first\n" + long(5000),
		"long lines":        long(2000) + "\n" + long(2000) + "\n" + "the reason",
		"an empty last":     long(3000) + "\n",
	} {
		p := raw{code: 550, text: []byte(text)}.reply()
		size := len(p.Lines) - 1
		for _, l := range p.Lines {
			size += len(l)
		}
		last := text[strings.LastIndexByte(text, '\n')+1:]
		kept := p.Lines[len(p.Lines)-1]
		if size > maxKept || size < maxKept/3 || !strings.HasPrefix(last, kept) || len(kept) < min(len(last), maxKept/2) {
			t.Errorf("%s: %d bytes in %d lines, the last %.20q", name, size, len(p.Lines), kept)
		}
	}
}

// A huge reply is cut when it is read: neither a Reply nor the connection keeps it.
func TestReaderCutsLargeReplies(t *testing.T) {
	client, server := newWire(1 << 20)
	_, _ = server.Write([]byte(strings.Repeat("250-"+strings.Repeat("y", 2000)+"\r\n", 50) + "250 end\r\n250 next\r\n"))
	var r reader
	r.reset(client)
	for range 2 {
		if _, err := r.readReply(time.Hour, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if cap(r.text) > 4*keepText {
		t.Errorf("%d bytes kept", cap(r.text))
	}
}

func TestReplyString(t *testing.T) {
	tests := []struct {
		in   Reply
		want string
	}{
		{Reply{250, "2.0.0", []string{"OK queued"}}, "250 2.0.0 OK queued"},
		{Reply{550, "", []string{"one", "", "two"}}, "550 one two"},
		{Reply{250, "", []string{""}}, "250"},
		{Reply{}, ""},
		{Reply{550, "5.0.0", []string{"a\x1b[31mb\tc\x00d\xffe"}}, "550 5.0.0 a?[31mb?c?d?e"},
		{Reply{550, "", []string{"für dich\u2028x"}}, "550 für dich?x"},
	}
	for _, tt := range tests {
		if got := tt.in.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// FuzzReader feeds arbitrary bytes to the reply reader, cut in two places, and
// compares with a reader that works on the whole text by simple rules.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"250 OK\r\n", "250-a\r\n250 b\n", "550 5.1.1 x\r\n", "25", "999 x\r\n", "250-a\r\n251 b\r\n", "354\r\n", "250\n250\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 1<<16 {
			return
		}
		r, err := heard(string(in))
		if err != nil {
			return
		}
		p := r.reply()
		if p.Code < 100 || p.Code > 999 || len(p.Lines) < 1 || len(p.Lines) > maxLines {
			t.Fatalf("impossible reply %+v", p)
		}
		if p.Enhanced != "" && (!isEnhanced(p.Enhanced) || int(p.Enhanced[0]-'0') != p.Code/100) {
			t.Fatalf("impossible status %q of %d", p.Enhanced, p.Code)
		}
		for i, kept := range p.Lines {
			if len(kept) > keepLine || !strings.Contains(string(in), kept) {
				t.Fatalf("line %d %q is not in %q", i, kept, in)
			}
		}
		if code := lastCode(string(in)); code != p.Code {
			t.Fatalf("code %d of %q, want %d", p.Code, in, code)
		}
		if strings.ContainsFunc(p.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("control character in %q", p.String())
		}
	})
}

// replyEnd matches, as Postfix reads it, the first line that ends a reply.
var replyEnd = regexp.MustCompile(`(?m)^([1-9][0-9][0-9])( |\x00|\r*$)`)

func lastCode(in string) int {
	m := replyEnd.FindStringSubmatch(in)
	if m == nil {
		return 0
	}
	code, _ := strconv.Atoi(m[1])
	return code
}
