package preflight

import (
	"bytes"
	"strings"
)

const (
	// maxFields bounds the fields of one name that are looked at.
	maxFields = 32
	// maxValue bounds what a text quotes of a field, in bytes.
	maxValue = 100
)

// fields are the values of a header's fields by their names in lower case, unfolded, at most maxFields for each name.
type fields map[string][]string

// looked are the fields that are looked at.
var looked = map[string]bool{
	"from": true, "to": true, "subject": true, "date": true, "message-id": true, "dkim-signature": true, "list-unsubscribe": true, "list-unsubscribe-post": true,
}

// parse reads a header, whose lines end by CRLF or LF. It passes over lines that are no field, and ends at an empty line.
func parse(header []byte) fields {
	all := make(fields)
	for len(header) > 0 && header[0] != '\n' && !bytes.HasPrefix(header, []byte("\r\n")) {
		n := fieldLen(header)
		name, value, found := strings.Cut(string(header[:n]), ":")
		header = header[n:]
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if found && looked[name] && len(all[name]) < maxFields {
			all[name] = append(all[name], unfold(value))
		}
	}
	return all
}

// fieldLen is the length of the first field, folded lines and final line end included.
func fieldLen(header []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(header[n:], '\n')
		if i < 0 {
			return len(header)
		}
		n += i + 1
		if n == len(header) || header[n] != ' ' && header[n] != '\t' {
			return n
		}
	}
}

// unfold joins the lines of a value (RFC 5322 section 2.2.3).
func unfold(value string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(value, "\r", ""), "\n", ""))
}

// first is the first field of that name, "" if there is none.
func (f fields) first(name string) string {
	if len(f[name]) == 0 {
		return ""
	}
	return f[name][0]
}

// eightBit reports whether a header has a byte that is not ASCII.
func eightBit(header []byte) bool {
	return bytes.ContainsFunc(header, func(r rune) bool { return r >= 0x80 })
}

// short is a value for a text.
func short(value string) string {
	if len(value) > maxValue {
		return strings.ToValidUTF8(value[:maxValue], "") + "..."
	}
	return value
}
