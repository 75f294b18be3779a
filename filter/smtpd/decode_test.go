package smtpd

import (
	"bytes"
	"strings"
	"testing"
)

// decodeTable: what is read behind DATA, what it means, what is left unread, and the fault.
var decodeTable = []struct{ name, in, out, rest, fault string }{
	{"text", "a\r\nb\r\n.\r\n", "a\r\nb\r\n", "", ""},
	{"empty", ".\r\n", "", "", ""},
	{"one empty line", "\r\n.\r\n", "\r\n", "", ""},
	{"pipelined", "a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n", ""},
	{"stuffed", "..\r\n..a\r\n.b\r\n...\r\n.\r\n", ".\r\n.a\r\nb\r\n..\r\n", "", ""},
	{"dot within", "a.\r\na.b\r\n.\r\n", "a.\r\na.b\r\n", "", ""},
	{"LF.LF", "a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", faultLF},
	{"LF.CRLF", "a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", faultLF},
	{"CRLF.LF", "a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", "", faultLF},
	{"CR.CR", "a\r.\rb\r\n.\r\n", "a . b\r\n", "", faultCR},
	{"CR.CRLF", "a\r.\r\nb\r\n.\r\n", "a .\r\nb\r\n", "", faultCR},
	{"CRLF.CR", "a\r\n.\rb\r\n.\r\n", "a\r\n b\r\n", "", faultCR},
	{"CRLF.CR.CRLF", "a\r\n.\r.\r\n.\r\n", "a\r\n .\r\n", "", faultCR},
	{"CRLF.CRCRLF", "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n \r\nb\r\n", "", faultCR},
	{"CRCRLF.CRLF", "a\r\r\n.\r\n", "a \r\n", "", faultCR},
	{"LFCR.CRLF", "a\n\r.\r\nb\r\n.\r\n", "a\r\n .\r\nb\r\n", "", faultLF},
	{"LF..", "a\n..\n..b\n...c\r\n.\r\n", "a\r\n.\r\n.b\r\n..c\r\n", "", faultLF},
	{"LF.b", "a\n.b\r\n.\r\n", "a\r\n.b\r\n", "", faultLF},
	{"LF ends no message, CRLF does", "a\n\r\n.\r\n", "a\r\n\r\n", "", faultLF},
	{"NUL", "a\x00b\r\n.\r\n", "ab\r\n", "", faultNUL},
	{"CRLF NUL.CRLF", "a\r\n\x00.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", faultNUL},
	{"CRLF.NUL CRLF", "a\r\n.\x00\r\nb\r\n.\r\n", "a\r\n\r\nb\r\n", "", faultNUL},
	{"CRLF.CR NUL LF", "a\r\n.\r\x00\nb\r\n.\r\n", "a\r\n \r\nb\r\n", "", faultCR},
	{"CR NUL LF.CRLF", "a\r\x00\n.\r\nb\r\n.\r\n", "a \r\n.\r\nb\r\n", "", faultCR},
	{"LF.NUL.", "a\n.\x00.\r\n.\r\n", "a\r\n..\r\n", "", faultLF},
	{"long", strings.Repeat("x", 5000) + "\r\n.\r\n", strings.Repeat("x", 5000) + "\r\n", "", ""},
	{"long with NUL", strings.Repeat("x", 5000) + "\x00y\r\n.\r\n", strings.Repeat("x", 5000) + "y\r\n", "", faultNUL},
}

func TestDecode(t *testing.T) {
	for _, c := range decodeTable {
		t.Run(c.name, func(t *testing.T) {
			d := newDecoder(true, false)
			out, n, end := d.decode(nil, []byte(c.in))
			if string(out) != c.out || c.in[n:] != c.rest || !end || d.fault() != c.fault {
				t.Errorf("%q\n got %q, rest %q, end %v, fault %q\nwant %q, rest %q, end true, fault %q", c.in, out, c.in[n:], end, d.fault(), c.out, c.rest, c.fault)
			}
		})
	}
}

// TestDecodeEverySplit feeds each input of the table in three pieces, split at every two places.
func TestDecodeEverySplit(t *testing.T) {
	for _, c := range decodeTable {
		if len(c.in) > 100 {
			continue
		}
		for i := range len(c.in) + 1 {
			for j := i; j <= len(c.in); j++ {
				d := newDecoder(true, true)
				out, rest, end := decodeAll(&d, c.in[:i], c.in[i:j], c.in[j:])
				if string(out) != c.out || rest != c.rest || !end || d.fault() != c.fault {
					t.Fatalf("%s %q split at %d and %d: got %q, rest %q, end %v, fault %q", c.name, c.in, i, j, out, rest, end, d.fault())
				}
			}
		}
	}
}

// decodeAll decodes pieces until the end.
func decodeAll(d *decoder, pieces ...string) (out []byte, rest string, end bool) {
	for i, p := range pieces {
		var n int
		if out, n, end = d.decode(out, []byte(p)); end {
			return out, strings.Join(append([]string{p[n:]}, pieces[i+1:]...), ""), true
		}
		if n != len(p) {
			panic("not all used, and no end")
		}
	}
	return out, "", false
}

func TestDecodeChunks(t *testing.T) {
	for _, c := range []struct{ in, out, fault string }{
		{"", "", ""},
		{"a\r\n", "a\r\n", ""},
		{"a", "a\r\n", ""},
		{".\r\n..\r\n.", ".\r\n..\r\n.\r\n", ""},
		{"a\r\n.\r\nb\r\n", "a\r\n.\r\nb\r\n", ""},
		{"a\n.\n..\n", "a\r\n.\r\n..\r\n", faultLF},
		{"a\r", "a \r\n", faultCR},
		{"a\r\n\r", "a\r\n \r\n", faultCR},
		{"a\x00", "a\r\n", faultNUL},
		{"\x00", "\r\n", faultNUL},
		{"a\r\rb", "a  b\r\n", faultCR},
	} {
		for i := range len(c.in) + 1 {
			d := newDecoder(false, false)
			out, _, end := decodeAll(&d, c.in[:i], c.in[i:])
			if out = d.finish(out); string(out) != c.out || end || d.fault() != c.fault {
				t.Errorf("%q split at %d: got %q, end %v, fault %q; want %q, fault %q", c.in, i, out, end, d.fault(), c.out, c.fault)
			}
		}
	}
}

// FuzzDecode: any split gives the same, the output is canonical, and what is canonical already comes out as it went in.
func FuzzDecode(f *testing.F) {
	for _, c := range decodeTable {
		f.Add([]byte(c.in), uint16(len(c.in)/2), true)
	}
	f.Add([]byte("a\nb\r"), uint16(1), false)
	f.Fuzz(func(t *testing.T, in []byte, at uint16, dots bool) {
		whole := newDecoder(dots, true)
		want, n, end := whole.decode(nil, in)
		i := min(int(at), len(in))
		pieces := newDecoder(dots, false)
		got, rest, ended := decodeAll(&pieces, string(in[:i]), string(in[i:]))
		if !bytes.Equal(want, got) || end != ended || whole.fault() != pieces.fault() || end && string(in[n:]) != rest {
			t.Fatalf("%q at %d: %q, %v, %q and in pieces %q, %v, %q", in, i, want, end, whole.fault(), got, ended, pieces.fault())
		}
		if end != (dots && endsAt(in) > 0) || end && n != endsAt(in) {
			t.Fatalf("%q: ends at %d (%v), want %d", in, n, end, endsAt(in))
		}
		checkCanonical(t, whole.finish(want))
		if whole.fault() == "" && !dots && !bytes.HasPrefix(whole.finish(want), in) {
			t.Fatalf("%q became %q", in, want)
		}
	})
}

// endsAt is where the data ends by RFC 5321: behind the first CRLF "." CRLF, or "." CRLF at the beginning; 0: nowhere.
func endsAt(in []byte) int {
	if bytes.HasPrefix(in, []byte(".\r\n")) {
		return 3
	}
	if i := bytes.Index(in, []byte("\r\n.\r\n")); i >= 0 {
		return i + 5
	}
	return 0
}

// checkCanonical fails the test unless each CR and LF of b belongs to a CRLF, b ends with one, and there is no NUL.
func checkCanonical(t *testing.T, b []byte) {
	t.Helper()
	lines := bytes.Count(b, []byte("\r\n"))
	if bytes.Count(b, []byte("\r")) != lines || bytes.Count(b, []byte("\n")) != lines || bytes.IndexByte(b, 0) >= 0 {
		t.Fatalf("not canonical: %q", b)
	}
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\r\n")) {
		t.Fatalf("no line end at the end: %q", b)
	}
}

// BenchmarkDecode reads lines of text, and what costs most.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct{ name, line string }{
		{"38", strings.Repeat("x", 38) + "\r\n"}, {"74", strings.Repeat("x", 74) + "\r\n"}, {"998", strings.Repeat("x", 998) + "\r\n"},
		{"stuffed", ".." + strings.Repeat("x", 72) + "\r\n"}, {"bare LF", strings.Repeat("x", 74) + "\n"}, {"LF", "\n"}, {"CR", "\r"}, {"NUL", "\x00"},
		{"CR between", "\ra"}, {"LF between", "\na"}, {"NUL between", "\x00a"}, {"dots", "..\r\n"},
	} {
		src := []byte(strings.Repeat(c.line, 64<<10/len(c.line)))
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 2*len(src))
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				d := newDecoder(true, false)
				d.decode(dst[:0], src)
			}
		})
	}
}
