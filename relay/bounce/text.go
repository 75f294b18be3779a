package bounce

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLine is the longest line, without CRLF, that mail may have (RFC 5322 section 2.1.1).
	maxLine = 998
	// foldAt is where lines of our own are folded.
	foldAt = 76
	// maxText bounds one piece of text from outside: an address, a reply.
	maxText = 1000
	// maxWord bounds a word, which cannot be folded, so that a field name fits before it within maxLine.
	maxWord = 900
)

// script says which characters a notification may have.
type script bool

const (
	asciiOnly script = false
	withUTF8  script = true // the sender's side understands RFC 6533
)

// clean makes text from outside fit for one line. Every run of white space becomes one space; a character that is not
// printable or not in the script becomes "?". So no sender or receiver can end a line, a field or a MIME part.
func (s script) clean(text string) string {
	if len(text) > maxText {
		text, _ = cut(text, maxText)
		text += "..."
	}
	return strings.Join(strings.Fields(strings.Map(s.printable, text)), " ")
}

func (s script) printable(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case r == utf8.RuneError || !unicode.IsPrint(r) || r >= utf8.RuneSelf && s == asciiOnly:
		return '?'
	}
	return r
}

// field writes a header field, folded at spaces (RFC 5322 section 2.2.3). value has been cleaned.
func field(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	b.WriteString(": ")
	b.WriteString(strings.Join(wrap(value, foldAt-len(name)-2), "\r\n "))
	b.WriteString("\r\n")
}

// paragraph writes cleaned text in lines that begin with indent.
func paragraph(b *bytes.Buffer, indent, text string) {
	for _, line := range wrap(text, foldAt-len(indent)) {
		b.WriteString(indent)
		b.WriteString(line)
		b.WriteString("\r\n")
	}
}

// wrap cuts text into lines of whole words. A word that is longer than width has a line of its own: an address that is cut
// could not be copied. Only a word longer than maxWord is cut.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for word != "" {
			var piece string
			piece, word = cut(word, maxWord)
			switch {
			case line == "":
				line = piece
			case len(line)+1+len(piece) > width:
				lines = append(lines, line)
				line = piece
			default:
				line += " " + piece
			}
		}
	}
	return append(lines, line)
}

// cut splits s after at most n bytes, between runes.
func cut(s string, n int) (head, tail string) {
	if len(s) <= n {
		return s, ""
	}
	for n > 1 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n], s[n:]
}
