package smtp

import (
	"bytes"
	"slices"
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

// impatient reports whether r, a 421, may come from a peer that has waited for us in vain. A reply whose status is not about the
// connection (RFC 3463, 3.5), and that says nothing of time, has another reason, such as the peer's own shutdown.
func (r raw) impatient() bool {
	p := r.reply()
	if p.Enhanced == "" || p.Enhanced[2] == '4' {
		return true
	}
	text := strings.ToLower(p.String())
	return strings.Contains(text, "time") || strings.Contains(text, "idle") || strings.Contains(text, "wait")
}

// maxKept bounds the text of a Reply, which may be kept for days.
const maxKept = 2 << 10

// reply copies what is kept of r into a Reply of its own memory.
func (r raw) reply() Reply {
	r.text = clip(r.text)
	return r.whole()
}

// whole copies all that was read of r, for one who needs every line.
func (r raw) whole() Reply {
	out := Reply{Code: r.code}
	text := string(r.text)
	out.Lines = make([]string, 0, 1+strings.Count(text, "\n"))
	for more := true; more; {
		var line string
		line, text, more = strings.Cut(text, "\n")
		status, rest := splitEnhanced(line, r.class())
		if out.Enhanced == "" || status != "" {
			out.Enhanced = status // the last line counts, as its code does
		}
		out.Lines = append(out.Lines, rest)
	}
	return out
}

// clip cuts the text of a reply to maxKept bytes. It keeps the last line, which has the code that counts and often the only
// reason, and of the others as many from the beginning as have room.
func clip(text []byte) []byte {
	if len(text) <= maxKept {
		return text
	}
	begin := bytes.LastIndexByte(text, '\n') + 1
	if begin == 0 {
		return text[:maxKept]
	}
	last := text[begin:min(len(text), begin+maxKept/2)]
	head := text[:min(begin-1, maxKept-1-len(last))]
	if end := bytes.LastIndexByte(head, '\n'); end > 0 && len(head) < begin-1 {
		head = head[:end] // a part of a line would look like a whole one
	}
	return slices.Concat(head, []byte{'\n'}, last)
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
