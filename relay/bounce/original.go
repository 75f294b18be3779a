package bounce

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// original writes the part that shows the sender which message it was: the header. It is the whole message if RET=FULL
// asked for that (RFC 3461 section 4.3), the message is small, and its bytes can stand in a MIME part. Without that wish
// the header is enough: it names the message, and notifications of a campaign stay small.
func (r *Report) original(s script) part {
	m := r.Message
	if m.Ret() == "FULL" && m.Content.Size() <= int64(r.MaxHeader) && r.Failures[0].Action <= Expired {
		if whole := slices.Concat(m.Content.Pieces()...); len(whole) > 0 && plain(whole) {
			return part{s.either("message/rfc822", "message/global", whole), "Undelivered message", whole}
		}
	}
	header := returnedHeader(m.Content.Head(), r.MaxHeader)
	return part{s.either("text/rfc822-headers", "message/global-headers", header), "Message header", header}
}

// either is the second type if content is UTF-8 and the notification may have UTF-8, else the first (RFC 6533).
func (s script) either(old, global string, content []byte) string {
	if s == withUTF8 && utf8.Valid(content) {
		return global
	}
	return old
}

// plain reports whether content can be a part as it is: no NUL, no line that is too long, no CR or LF on its own.
func plain(content []byte) bool {
	for line := range bytes.SplitSeq(content, []byte("\r\n")) {
		if len(line) > maxLine || bytes.ContainsAny(line, "\x00\r\n") {
			return false
		}
	}
	return true
}

// returnedHeader copies whole fields of a header up to limit bytes. A field that does not fit is left out, the fields after
// it are not: list managers look for small fields of their own. Bytes that cannot stand in a MIME part are mended.
func returnedHeader(header []byte, limit int) []byte {
	var out []byte
	start := 0 // of the field in out
	fits := true
	for line := range bytes.SplitSeq(header, []byte{'\n'}) {
		line = mend(line)
		if len(line) == 0 {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			start, fits = len(out), true
		}
		if !fits {
			continue
		}
		out = appendFolded(out, line)
		if len(out) > limit {
			out, fits = out[:start], false
		}
	}
	return out
}

// mend makes one line of the bytes between two LFs. A line of white space would end the header for some readers, so it is
// dropped.
func mend(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(bytes.TrimLeft(line, " \t\r\x00")) == 0 {
		return nil
	}
	if bytes.ContainsAny(line, "\x00\r") {
		line = bytes.ReplaceAll(bytes.ReplaceAll(line, []byte{0}, nil), []byte{'\r'}, []byte{' '})
	}
	return line
}

// appendFolded appends line and CRLF, folded where it is too long. Its pieces are one byte shorter than a line may be: a
// continuation begins with a space.
func appendFolded(out, line []byte) []byte {
	for len(line) >= maxLine {
		out = append(append(out, line[:maxLine-1]...), "\r\n "...)
		line = line[maxLine-1:]
	}
	return append(append(out, line...), "\r\n"...)
}
