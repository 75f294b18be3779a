package stream

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// The bounds of texts from outside, in bytes. A record is below maxRecord with all of them.
const (
	maxText   = 1000 // of a reply, or of an admin's reason
	maxName   = 320  // of an address, a campaign, a relay
	maxRcpts  = 50   // recipients that a reception names
	maxRecord = 32 << 10
)

// line is a record in the making, without its position. It is made anew for nobody: a pool has those in use.
type line struct {
	b       []byte
	now     stamp
	arrival stamp
}

// begin starts a record with its time and type.
func (l *line) begin(k Kind, t time.Time) {
	l.b = append(l.b[:0], `,"time":"`...)
	l.b = l.now.append(l.b, t)
	l.b = append(l.b, `","type":"`...)
	l.b = append(l.b, kindNames[k]...)
	l.b = append(l.b, '"')
}

// stamp writes times as RFC 3339 has them, to the millisecond. It keeps the last second: most times that it writes have the same.
type stamp struct {
	second int64
	text   []byte
}

func (s *stamp) append(b []byte, t time.Time) []byte {
	if now := t.Unix(); now != s.second || s.text == nil {
		s.second, s.text = now, t.UTC().AppendFormat(s.text[:0], "2006-01-02T15:04:05.")
	}
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(append(b, s.text...), byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// end completes the record.
func (l *line) end() []byte {
	l.b = append(l.b, '}', '\n')
	return l.b
}

func (l *line) key(name string) {
	l.b = append(l.b, ',', '"')
	l.b = append(l.b, name...)
	l.b = append(l.b, '"', ':')
}

// text adds a field, unless it is empty.
func (l *line) text(name, value string, limit int) {
	if value != "" {
		l.key(name)
		l.quote(value, limit)
	}
}

// number adds a field, unless it is 0.
func (l *line) number(name string, value int64) {
	if value != 0 {
		l.key(name)
		l.b = strconv.AppendInt(l.b, value, 10)
	}
}

// flag adds a field, unless it is false.
func (l *line) flag(name string, value bool) {
	if value {
		l.key(name)
		l.b = append(l.b, "true"...)
	}
}

// seconds adds a time in seconds, to the millisecond.
func (l *line) seconds(name string, d time.Duration) {
	l.key(name)
	l.b = appendSeconds(l.b, d)
}

func appendSeconds(b []byte, d time.Duration) []byte {
	ms := max(d.Milliseconds(), 0)
	b = strconv.AppendInt(b, ms/1000, 10)
	if ms %= 1000; ms > 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return b
}

// moment adds a point in time, unless it is zero.
func (l *line) moment(name string, t time.Time) {
	if !t.IsZero() {
		l.key(name)
		l.b = append(l.b, '"')
		l.b = l.arrival.append(l.b, t)
		l.b = append(l.b, '"')
	}
}

// list adds a list of texts, unless it is empty.
func (l *line) list(name string, all []string) {
	if len(all) == 0 {
		return
	}
	l.key(name)
	l.b = append(l.b, '[')
	for i, s := range all[:min(len(all), maxRcpts)] {
		if i > 0 {
			l.b = append(l.b, ',')
		}
		l.quote(s, maxName)
	}
	l.b = append(l.b, ']')
}

// bytes adds a field, unless it is empty.
func (l *line) bytes(name string, value []byte) {
	if len(value) > 0 {
		l.key(name)
		l.b = append(l.b, '"')
		l.b = appendEscaped(l.b, value[:min(len(value), maxName)])
		l.b = append(l.b, '"')
	}
}

// quote appends at most limit bytes of s as a JSON string, cut at a character.
func (l *line) quote(s string, limit int) {
	l.b = append(l.b, '"')
	l.b = appendEscaped(l.b, clip(s, limit))
	l.b = append(l.b, '"')
}

// clip is at most limit bytes of s, cut at a character.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

const hex = "0123456789abcdef"

// appendEscaped appends what stands between the quotes of a JSON string. Bytes that are no UTF-8 become U+FFFD: a peer must not be able
// to write what a strict reader refuses.
func appendEscaped[T string | []byte](b []byte, s T) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[from:i]...)
			b = appendEscape(b, c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' { // the two end a line for some readers
			b = append(append(b, s[from:i]...), "\ufffd"...)
			from = i + size
		}
		i += size
	}
	return append(b, s[from:]...)
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\t':
		return append(b, '\\', 't')
	case '\r':
		return append(b, '\\', 'r')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// message adds what is known of a message.
func (l *line) message(m *relay.Message) {
	l.key("id")
	l.b = append(append(append(l.b, '"'), m.ID.String()...), '"')
	l.text("queue_id", m.QueueID(), maxName)
	l.key("sender")
	l.quote(m.From(), maxName)
}

// flow adds whose mail it is.
func (l *line) flow(m *relay.Message) {
	f := m.Flow()
	l.text("tenant", f.Tenant, maxName)
	l.text("campaign", f.Name, maxName)
	l.text("rule", m.Rule(), maxName)
	if m.Class() == relay.ClassInject {
		l.flag("notice", true)
	}
	l.number("size", m.Content.Size())
}

// recipient adds a recipient and where his mail goes.
func (l *line) recipient(e *relay.Event) {
	if e.Rcpt < 0 || e.Rcpt >= e.Message.RcptCount() {
		return
	}
	addr := e.Message.Rcpt(e.Rcpt).Addr
	l.key("recipient")
	l.quote(addr, maxName)
	if e.Node != nil {
		l.text("domain", e.Node.Domain, maxName)
	} else {
		l.text("domain", relay.Domain(addr), maxName)
	}
}

// where adds who was visited.
func (l *line) where(e *relay.Event) {
	l.text("site", e.Site, maxName)
	if reached(e) {
		l.text("relay", e.Relay, maxName)
	}
}

// reached reports that a host was visited.
func reached(e *relay.Event) bool { return e.Relay != "" && e.Relay != "none" }

// reply adds what the receiver has said, or what we say in its place.
func (l *line) reply(r smtp.Reply) {
	if r.Code == 0 && r.Enhanced == "" && len(r.Lines) == 0 {
		return
	}
	l.key("reply")
	l.b = append(l.b, '{')
	start := len(l.b)
	l.number("code", int64(r.Code))
	l.text("enhanced", r.Enhanced, maxName)
	room, before := maxText, len(l.b)
	for _, text := range r.Lines {
		if room <= 0 {
			break
		}
		if len(l.b) == before {
			l.key("text")
			l.b = append(l.b, '"')
		} else {
			l.b = append(l.b, ' ')
		}
		l.b = appendEscaped(l.b, clip(text, room))
		room -= len(text) + 1
	}
	if len(l.b) > before {
		l.b = append(l.b, '"')
	}
	l.b = append(l.b[:start], l.b[start+1:]...) // the first comma
	l.b = append(l.b, '}')
}

// delays adds where the time went.
func (l *line) delays(d relay.Delays) {
	l.seconds("delay", d.Total())
	l.key("delays")
	l.b = append(l.b, `{"before":`...)
	l.b = appendSeconds(l.b, d.Before)
	l.b = append(l.b, `,"queue":`...)
	l.b = appendSeconds(l.b, d.Queue)
	l.b = append(l.b, `,"setup":`...)
	l.b = appendSeconds(l.b, d.Setup)
	l.b = append(l.b, `,"transmit":`...)
	l.b = appendSeconds(l.b, d.Transmit)
	l.b = append(l.b, '}')
}

// totals adds running totals, or differences of them.
func (l *line) totals(name string, t Totals) {
	l.key(name)
	l.b = append(l.b, '{')
	start := len(l.b)
	for _, f := range [...]struct {
		name  string
		value int64
	}{
		{"messages", t.Messages}, {"recipients", t.Recipients}, {"sent", t.Sent}, {"handed_back", t.HandedBack}, {"reported", t.Reported},
		{"suppressed", t.Suppressed}, {"removed", t.Removed}, {"deferred", t.Deferred},
	} {
		l.number(f.name, f.value)
	}
	if len(l.b) > start {
		l.b = append(l.b[:start], l.b[start+1:]...) // the first comma
	}
	l.b = append(l.b, '}')
}
