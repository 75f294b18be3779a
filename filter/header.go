package filter

import (
	"bytes"
	"iter"
)

// Fields yields the fields of a header in order. It yields the name as written, and the value from the colon on, still
// folded but without the final CRLF. It passes over lines that are no field.
func Fields(header []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(header) > 0 {
			n := fieldLen(header)
			field := bytes.TrimSuffix(header[:n], []byte("\r\n"))
			header = header[n:]
			name, value, found := bytes.Cut(field, []byte(":"))
			for len(name) > 0 && blank(name[len(name)-1]) {
				name = name[:len(name)-1]
			}
			if !found || len(name) == 0 {
				continue
			}
			if !yield(name, value) {
				return
			}
		}
	}
}

// fieldLen is the length of the first field, folded lines and final CRLF included.
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

// unfold joins a folded value (RFC 5322 section 2.2.3) and trims it. It allocates only when the value is folded.
func unfold(value []byte) []byte {
	if bytes.IndexByte(value, '\n') >= 0 {
		flat := make([]byte, 0, len(value))
		for _, c := range value {
			if c != '\r' && c != '\n' {
				flat = append(flat, c)
			}
		}
		value = flat
	}
	return bytes.TrimSpace(value)
}

// equalFold compares a field name with one in lower case. It does not allocate, because it runs for every field of every
// message.
func equalFold(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	return hasPrefixFold(name, want)
}

func hasPrefixFold(name []byte, want string) bool {
	if len(name) < len(want) {
		return false
	}
	for i := range len(want) {
		if lowerByte(name[i]) != want[i] {
			return false
		}
	}
	return true
}

// FieldIs reports whether a field name as Fields yields it is the given one, which must be in lower case.
func FieldIs(name []byte, lowerName string) bool { return equalFold(name, lowerName) }
