package smtp

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reply is one SMTP reply, of one or several lines (RFC 5321, 4.2).
type Reply struct {
	Code     int      // 200 to 599 but for peers that invent classes; 0 when there is no reply
	Enhanced string   // enhanced status code (RFC 3463) such as "4.7.1", or ""
	Lines    []string // the text of each line, without code and enhanced code
}

// String returns the reply as one line for the log, such as
// "250 2.0.0 OK queued". Lines are joined with a space; control characters and
// bytes that are not UTF-8 are replaced, so that a peer cannot forge log lines.
func (r Reply) String() string {
	var b strings.Builder
	if r.Code != 0 {
		b.WriteString(strconv.Itoa(r.Code))
	}
	if r.Enhanced != "" {
		appendWord(&b, r.Enhanced)
	}
	for _, l := range r.Lines {
		appendWord(&b, printable(l))
	}
	return b.String()
}

func appendWord(b *strings.Builder, s string) {
	if s == "" {
		return
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(s)
}

// printable returns s with everything that could disturb a log line or a
// terminal replaced by '?'.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// raw is a reply as it was read: its text is only valid until the next one is
// read. Most replies are a 250 nobody wants to keep, so no Reply is made of them.
type raw struct {
	code int
	text []byte // lines joined with '\n', enhanced codes still in place

	// odd: the lines do not agree in their code, or some were no reply. Such a reply may be made of two, or stand for another.
	odd   bool
	noisy bool // some lines were no reply
}

// class is the first digit of the code.
func (r raw) class() int { return r.code / 100 }

// reply copies r into a Reply of its own memory.
func (r raw) reply() Reply {
	out := Reply{Code: r.code}
	text := string(r.text)
	out.Lines = make([]string, 0, 1+bytes.Count(r.text, []byte{'\n'}))
	for line := range strings.SplitSeq(text, "\n") {
		status, rest := splitEnhanced(line, r.class())
		if out.Enhanced == "" || status != "" {
			out.Enhanced = status // the last line counts, as its code does
		}
		out.Lines = append(out.Lines, rest)
	}
	return out
}

// splitEnhanced cuts an enhanced status code off the front of a reply line. A
// code whose class contradicts the reply's is no status code (RFC 2034, 4); it
// stays in the text.
func splitEnhanced(line string, class int) (status, rest string) {
	word, rest, _ := strings.Cut(line, " ")
	if !isEnhanced(word) || int(word[0]-'0') != class {
		return "", line
	}
	return word, strings.TrimLeft(rest, " ")
}

// isEnhanced reports whether s is class "." subject "." detail with one digit,
// and one to three digits twice (RFC 3463, 2).
func isEnhanced(s string) bool {
	if len(s) < 5 || len(s) > 9 || s[1] != '.' || s[0] != '2' && s[0] != '4' && s[0] != '5' {
		return false
	}
	subject, detail, ok := strings.Cut(s[2:], ".")
	return ok && isShortNumber(subject) && isShortNumber(detail)
}

func isShortNumber(s string) bool {
	if len(s) < 1 || len(s) > 3 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
