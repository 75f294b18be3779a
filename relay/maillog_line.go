package relay

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/relay/smtp"
)

// startLine starts a line about e's message.
func (l *MailLog) startLine(service string, e *Event) {
	l.prefix(service, e.Time)
	l.word(e.Message.Name())
	l.text(": ")
}

// prefix starts a line: "Nov 23 17:32:53 host postfix/smtp[812]: ".
func (l *MailLog) prefix(service string, t time.Time) {
	l.start = len(l.buf)
	if l.cfg.Prefix {
		if s := t.Unix(); s != l.second || l.stamp == nil {
			l.second, l.stamp = s, t.AppendFormat(l.stamp[:0], time.Stamp)
		}
		l.buf = append(l.buf, l.stamp...)
		l.text(" ")
		l.text(l.cfg.Hostname)
		l.text(" ")
	}
	l.text(l.cfg.Name)
	l.text("/")
	l.text(service)
	l.text("[")
	l.buf = strconv.AppendInt(l.buf, int64(l.cfg.PID), 10)
	l.text("]: ")
}

// keepRoom is the room in a full buffer for the lines that name who may get a message twice.
const keepRoom = 1 << 20

// endKeptLine completes a line that may use keepRoom.
func (l *MailLog) endKeptLine() { l.within(l.cfg.Buffer + keepRoom) }

// endLine completes the line.
func (l *MailLog) endLine() { l.within(l.cfg.Buffer) }

// within takes the line back when the buffer holds more than limit.
func (l *MailLog) within(limit int) {
	l.text("\n")
	if len(l.buf) > limit {
		l.buf = l.buf[:l.start]
		l.lost++
		l.suppressed.Add(1)
	}
}

// text appends text of our own.
func (l *MailLog) text(s string) { l.buf = append(l.buf, s...) }

// address appends <addr>. Angle brackets inside, legal between quotes, would end the field for every parser.
func (l *MailLog) address(addr string) {
	l.text("<")
	l.buf = appendPrintable(l.buf, addr, maxLogAddress, "<>")
	l.text(">")
}

// word appends a queue id or the like: no separator of any parser may be in it.
func (l *MailLog) word(s string) { l.buf = appendPrintable(l.buf, s, maxLogWord, " ,:<>()=") }

// field appends the value of a field, where a colon may stand: "name[2001:db8::25]:25".
func (l *MailLog) field(s string) { l.buf = appendPrintable(l.buf, s, maxLogWord, " ,<>()=") }

// delays appends the four parts and their sum.
func (l *MailLog) delays(d Delays) {
	l.text(", delay=")
	l.buf = appendSeconds(l.buf, d.Total())
	l.text(", delays=")
	for i, part := range [...]time.Duration{d.Before, d.Queue, d.Setup, d.Transmit} {
		if i > 0 {
			l.text("/")
		}
		l.buf = appendSeconds(l.buf, part)
	}
}

// dsn appends the enhanced status code (RFC 3463), a general one of the outcome's class when there was none.
func (l *MailLog) dsn(e *Event) {
	switch {
	case e.Reply.Enhanced != "":
		l.word(e.Reply.Enhanced)
	case e.Outcome == Sent || e.Outcome == HandedBack:
		l.text("2.0.0")
	case e.Outcome == Bounced:
		l.text("5.0.0")
	case e.Outcome == Expired:
		l.text("4.4.7")
	default:
		l.text("4.0.0")
	}
}

// status appends the word and, in parentheses, what was said.
func (l *MailLog) status(e *Event) {
	switch {
	case e.Outcome == HandedBack:
		l.forwarded(e.Reply, ", handed back to the MTA: ")
	case e.Outcome == Sent && e.injected() && !l.cfg.NoMTA:
		l.forwarded(e.Reply, ": ")
	case e.Outcome == Deleted:
		l.text("deferred (")
		l.reply(e.Reply)
	case e.Outcome == Expired:
		l.text("deferred (expired: ")
		l.said(e)
		l.reply(e.Reply)
	default:
		l.text(e.Outcome.String())
		l.text(" (")
		if e.Outcome != Sent {
			l.said(e)
		}
		l.reply(e.Reply)
	}
	l.text(")")
}

// forwarded: pflogsumm looks for "forwarded as".
func (l *MailLog) forwarded(r smtp.Reply, how string) {
	l.text("sent (forwarded as ")
	if id := queuedAs(r); id != "" {
		l.word(id)
	} else {
		l.text("other mail")
	}
	l.text(how)
	l.reply(r)
}

// said appends who refused, as Postfix does it: "host name[address] said: ".
func (l *MailLog) said(e *Event) {
	if e.Reply.Code == 0 || e.Relay == "" || e.Relay == "none" {
		return
	}
	host := e.Relay
	if i := strings.LastIndexByte(host, ']'); i >= 0 {
		host = host[:i+1]
	}
	l.text("host ")
	l.field(host)
	l.text(" said: ")
}

// reply appends a reply as one line: its code, its enhanced code, its text.
func (l *MailLog) reply(r smtp.Reply) {
	start := len(l.buf)
	if r.Code != 0 {
		l.buf = strconv.AppendInt(l.buf, int64(r.Code), 10)
		if r.Enhanced != "" {
			l.text(" ")
			l.word(r.Enhanced)
		}
	}
	for _, line := range r.Lines {
		room := maxLogText - (len(l.buf) - start)
		if room <= 0 {
			break
		}
		if len(l.buf) > start && line != "" {
			l.text(" ")
		}
		l.buf = appendPrintable(l.buf, line, room, "")
	}
	if len(l.buf) == start {
		l.text("no reply")
	}
}

// rcpt is the address that e is about.
func (e *Event) rcpt() string {
	if e.Rcpt < 0 || e.Rcpt >= e.Message.RcptCount() {
		return ""
	}
	return e.Message.Rcpt(e.Rcpt).Addr
}

// injected reports whether the receiver is our own MTA.
func (e *Event) injected() bool {
	return e.Message.Class() == ClassInject || e.Node != nil && e.Node.Class() == ClassInject
}

// queuedAs finds the queue id in an MTA's reply to the end of data: "queued as ID" (Postfix), "ID Message accepted for
// delivery" (Sendmail), "id=ID" (Exim).
func queuedAs(r smtp.Reply) string {
	for _, line := range r.Lines {
		if _, after, ok := strings.Cut(line, "queued as "); ok {
			return firstWord(after)
		}
		if before, _, ok := strings.Cut(line, " Message accepted for delivery"); ok {
			return before[strings.LastIndexByte(before, ' ')+1:]
		}
		if _, after, ok := strings.Cut(line, " id="); ok {
			return firstWord(after)
		}
	}
	return ""
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// appendSeconds appends a time as Postfix does: in seconds, two digits of it that mean something, at most two decimals.
func appendSeconds(b []byte, d time.Duration) []byte {
	d = max(d, 0)
	switch {
	case d >= 10*time.Second:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(10 * time.Millisecond)
	}
	b = strconv.AppendInt(b, int64(d/time.Second), 10)
	cents := int(d % time.Second / (10 * time.Millisecond))
	if cents == 0 {
		return b
	}
	b = append(b, '.', byte('0'+cents/10))
	if cents%10 != 0 {
		b = append(b, byte('0'+cents%10))
	}
	return b
}

// appendPrintable appends at most limit bytes of s, cut at a rune, with "?" for everything that is not printable or
// stands in not: a peer must not be able to write log lines.
func appendPrintable(b []byte, s string, limit int, not string) []byte {
	plain := plainBytes(s[:min(len(s), limit)], not)
	b = append(b, s[:plain]...)
	for i, r := range s[plain:] {
		if plain+i+utf8.RuneLen(r) > limit {
			return append(b, "..."...)
		}
		switch {
		case r < utf8.RuneSelf && strings.IndexByte(not, byte(r)) >= 0, r == utf8.RuneError, !unicode.IsPrint(r):
			b = append(b, '?')
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// plainBytes is how many bytes s begins with that are printable ASCII and do not stand in not: nearly always all of them.
func plainBytes(s, not string) int {
	if i := strings.IndexAny(s, not); i >= 0 {
		s = s[:i]
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return i
		}
	}
	return len(s)
}

// recent remembers the last few lines of which there is only one per message.
type recent struct {
	last [32]remark
	next int
}

type remark struct {
	id   ID
	word string
}

// seen reports whether the remark was made a short while ago, and remembers it.
func (r *recent) seen(id ID, word string) bool {
	x := remark{id, word}
	if slices.Contains(r.last[:], x) {
		return true
	}
	r.last[r.next] = x
	r.next = (r.next + 1) % len(r.last)
	return false
}
