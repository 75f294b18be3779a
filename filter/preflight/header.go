package preflight

import (
	"bytes"
	"strings"
)

const (
	// maxFields bounds the fields of one name that are looked at.
	maxFields = 32
	// maxLength bounds what is looked at of a field, in bytes: the header may have a megabyte, and is read while its sender waits.
	maxLength = 16 << 10
	// maxValue bounds what a text quotes of a field, in bytes.
	maxValue = 100
)

// fields are the values of a header's fields by their names in lower case, unfolded, at most maxFields for each name.
type fields map[string][]string

// looked are the fields that are looked at.
var looked = map[string]bool{
	"from": true, "to": true, "subject": true, "date": true, "message-id": true, "dkim-signature": true, "list-unsubscribe": true, "list-unsubscribe-post": true,
}

// parse reads a header, whose lines end by CRLF or LF. It passes over lines that are no field.
func parse(header []byte) fields {
	all := make(fields)
	for len(header) > 0 {
		n := fieldLen(header)
		name, value, found := strings.Cut(string(header[:n]), ":")
		header = header[n:]
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if found && looked[name] && len(all[name]) < maxFields {
			all[name] = append(all[name], unfold(value[:min(len(value), maxLength)]))
		}
	}
	return all
}

// untilBody is what stands before the first empty line.
func untilBody(raw []byte) []byte {
	for end := 0; end < len(raw); end += fieldLen(raw[end:]) {
		if raw[end] == '\n' || bytes.HasPrefix(raw[end:], []byte("\r\n")) {
			return raw[:end]
		}
	}
	return raw
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
