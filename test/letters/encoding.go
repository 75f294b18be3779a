package letters

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"slices"
	"strings"
)

// goQuoted is quoted-printable as Go's own library writes it.
func goQuoted(text []byte) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write(text) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// quoted is quoted-printable of a mailer that fills a line up to width characters, soft break included, and keeps the bytes of
// one character together, as PHP and Python do.
func quoted(text []byte, width int) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	line := 0 // where it begins
	for i := 0; i < len(text); {
		if bytes.HasPrefix(text[i:], []byte("\r\n")) {
			out, i = append(out, "\r\n"...), i+2
			line = len(out)
			continue
		}
		n := 1
		for text[i] >= 0xc0 && i+n < len(text) && text[i+n]&0xc0 == 0x80 {
			n++
		}
		start := len(out)
		out = quote(out, text[i:i+n], bytes.HasPrefix(text[i+n:], []byte("\r\n")))
		if len(out)-line > width-1 {
			out = slices.Insert(out, start, '=', '\r', '\n')
			line = start + 3
		}
		i += n
	}
	return out
}

// quote appends one character as quoted-printable has it.
func quote(out, char []byte, last bool) []byte {
	c := char[0]
	if len(char) == 1 && (c > ' ' && c < 0x7f && c != '=' || c == ' ' && !last || c == '\t' && !last) {
		return append(out, c)
	}
	const hexDigits = "0123456789ABCDEF"
	for _, c := range char {
		out = append(out, '=', hexDigits[c>>4], hexDigits[c&15])
	}
	return out
}

// base64Lines is base64 in lines of width characters.
func base64Lines(data []byte, width int) []byte {
	all := base64.StdEncoding.EncodeToString(data)
	out := make([]byte, 0, len(all)+len(all)/width*2+2)
	for len(all) > width {
		out = append(append(out, all[:width]...), "\r\n"...)
		all = all[width:]
	}
	return append(append(out, all...), "\r\n"...)
}

// latin1 is a text in ISO 8859-1, or 8859-15, which are the same for our words.
func latin1(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r > 0xff {
			r = '?'
		}
		out = append(out, byte(r))
	}
	return out
}

// oneLine is a page without its line ends.
func oneLine(html string) string { return strings.ReplaceAll(html, "\r\n", "") + "\r\n" }

func lf(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) }
