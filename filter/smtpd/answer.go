package smtpd

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a reply of the MTA. RFC 5321 section 4.5.3.1.5 asks for 512 bytes a line; what exceeds the bounds on what is kept is cut,
// because the code of a long reply is as good as that of a short one.
const (
	hearLine  = 4 << 10  // bytes of a line that are looked at
	hearLines = 128      // lines of a reply
	hearReply = 64 << 10 // bytes of a reply on the wire
	hearText  = 400      // bytes of the text that are handed on: a reply line for our client has no more than 512
)

var errNoSMTP = errors.New("the MTA does not speak SMTP")

// answers reads the replies of the MTA.
type answers struct {
	nc   net.Conn
	buf  []byte
	r, w int // buf[r:w] was read and not used yet
}

// pending reports whether a part of a reply is there that nobody has asked for.
func (a *answers) pending() bool { return a.r < a.w }

// read returns the next reply. The code of its last line counts, as for Postfix. The function lines, unless it is nil, is
// called with the text of each line.
func (a *answers) read(until time.Time, lines func(text string)) (reply, error) {
	var words []string
	budget := hearReply
	for range hearLines {
		line, n, err := a.readLine(until, budget)
		if err != nil {
			return reply{}, err
		}
		budget -= n
		code, more, text, ok := parseReplyLine(line)
		if !ok {
			return reply{}, fmt.Errorf("%w: it says %q", errNoSMTP, line[:min(len(line), 80)])
		}
		if lines != nil {
			lines(string(text))
		}
		enhanced, rest := cutEnhanced(string(text), code)
		words = append(words, rest[:min(len(rest), hearText)])
		if !more {
			return reply{code, enhanced, oneLine(words)}, nil
		}
	}
	return reply{}, fmt.Errorf("%w: a reply of more than %d lines", errNoSMTP, hearLines)
}

// readLine returns the next line without its end, cut to hearLine, and how long it was on the wire.
func (a *answers) readLine(until time.Time, budget int) (line []byte, n int, err error) {
	for {
		if i := bytes.IndexByte(a.buf[a.r:a.w], '\n'); i >= 0 {
			if line == nil {
				line = a.buf[a.r : a.r+i]
			}
			n += i + 1
			a.r += i + 1
			return bytes.TrimRight(line, "\r"), n, nil
		}
		if a.w-a.r == len(a.buf) {
			if line == nil {
				line = bytes.Clone(a.buf)
			}
			n += len(a.buf)
			a.r, a.w = 0, 0
		}
		if n > budget {
			return nil, n, fmt.Errorf("%w: a reply of more than %d bytes", errNoSMTP, hearReply)
		}
		if err := a.fill(until); err != nil {
			return nil, n, err
		}
	}
}

// fill reads once.
func (a *answers) fill(until time.Time) error {
	if a.buf == nil {
		a.buf = make([]byte, hearLine)
	}
	if a.r > 0 {
		a.w = copy(a.buf, a.buf[a.r:a.w])
		a.r = 0
	}
	_ = a.nc.SetReadDeadline(until) // where there can be none, Read fails at once
	n, err := a.nc.Read(a.buf[a.w:])
	a.w += n
	if n > 0 {
		return nil
	}
	return err
}

// parseReplyLine takes a line apart. It accepts a missing text.
func parseReplyLine(b []byte) (code int, more bool, text []byte, ok bool) {
	if len(b) < 3 || b[0] < '2' || b[0] > '5' || b[1] < '0' || b[1] > '9' || b[2] < '0' || b[2] > '9' {
		return 0, false, nil, false
	}
	code = int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
	if len(b) == 3 {
		return code, false, nil, true
	}
	if b[3] != ' ' && b[3] != '-' {
		return 0, false, nil, false
	}
	return code, b[3] == '-', b[4:], true
}

// oneLine makes a bounded text of one line of the words.
func oneLine(words []string) string {
	text := strings.Map(printable, strings.TrimSpace(strings.Join(words, " ")))
	return strings.ToValidUTF8(text[:min(len(text), hearText)], "")
}

// printable replaces what could end a line, or disturb a log.
func printable(r rune) rune {
	if r == utf8.RuneError || !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

// cutEnhanced cuts an enhanced status code off the front of a reply line. A code of another class than the reply's stays in the text
// (RFC 2034 section 4).
func cutEnhanced(line string, code int) (enhanced, rest string) {
	word, rest, _ := strings.Cut(line, " ")
	class, detail, ok := strings.Cut(word, ".")
	subject, detail, more := strings.Cut(detail, ".")
	if !ok || !more || len(class) != 1 || int(class[0]-'0') != code/100 || !isShortNumber(subject) || !isShortNumber(detail) {
		return "", line
	}
	return word, strings.TrimLeft(rest, " ")
}

// isShortNumber reports whether s is one to three digits (RFC 3463 section 2).
func isShortNumber(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 3
}
