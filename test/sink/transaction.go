package sink

import (
	"bytes"
	"strings"
)

// recipient is one accepted RCPT.
type recipient struct{ addr, params string }

// transaction is the message in progress on a session.
type transaction struct {
	open   bool // MAIL was accepted
	from   string
	params string
	rcpts  []recipient
	chunks int    // BDAT commands so far
	body   []byte // kept between messages to be filled again
	tooBig bool   // a chunk did not fit; the rest is read and dropped
}

// maxSpareBody is the largest message buffer a session keeps for its next message.
const maxSpareBody = 1 << 20

func (t *transaction) reset() {
	body := t.body[:0]
	if cap(body) > maxSpareBody {
		body = nil
	}
	*t = transaction{rcpts: t.rcpts[:0], body: body}
}

// subjects are the strings in which a fault's Match is searched.
func (t *transaction) subjects() []string {
	s := make([]string, 0, 1+len(t.rcpts))
	s = append(s, t.from)
	for _, r := range t.rcpts {
		s = append(s, r.addr)
	}
	return s
}

// parsePath reads "FROM:<path> arguments" or "TO:<path> arguments" after the verb. It allows blanks around the colon,
// because many clients send them. A quoted local part may hold ">" and "\"" (RFC 5321 section 4.1.2).
func parsePath(args []byte, keyword string) (path, params string, ok bool) {
	args = bytes.TrimLeft(args, " ")
	if len(args) < len(keyword) || !bytes.EqualFold(args[:len(keyword)], []byte(keyword)) {
		return "", "", false
	}
	args = bytes.TrimLeft(args[len(keyword):], " ")
	if len(args) == 0 || args[0] != ':' {
		return "", "", false
	}
	args = bytes.TrimLeft(args[1:], " ")
	end := pathEnd(args)
	if end < 0 {
		return "", "", false
	}
	rest := args[end+1:]
	if len(rest) > 0 && rest[0] != ' ' {
		return "", "", false
	}
	return string(args[1:end]), strings.TrimSpace(string(rest)), true
}

// pathEnd returns the index of the ">" that closes the path args begins with, or -1.
func pathEnd(args []byte) int {
	if len(args) == 0 || args[0] != '<' {
		return -1
	}
	quoted := false
	for i := 1; i < len(args); i++ {
		switch c := args[i]; {
		case c < ' ' || c == 0x7f:
			return -1
		case quoted && c == '\\':
			if i++; i < len(args) && (args[i] < ' ' || args[i] == 0x7f) { // no quoted-pair either (RFC 5321 section 4.1.2)
				return -1
			}
		case c == '"':
			quoted = !quoted
		case !quoted && c == '>':
			return i
		case !quoted && (c == '<' || c == ' '):
			return -1
		}
	}
	return -1
}
