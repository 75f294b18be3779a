package bounce

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/relay/smtp"
)

// status writes the part for programs: one group of fields about the message and one per recipient (RFC 3464 section 2.1).
// List managers decide by it whether an address is removed.
func (r *Report) status(s script) part {
	var b bytes.Buffer
	m := r.Message
	field(&b, "Reporting-MTA", "dns; "+r.Hostname)
	if id, ok := decodeXtext(m.EnvID()); ok && id != "" {
		field(&b, "Original-Envelope-Id", s.clean(id))
	}
	field(&b, "X-Millrace-Queue-ID", asciiOnly.clean(m.Name()))
	field(&b, "X-Millrace-Sender", s.address(m.From()))
	if !m.Arrived().IsZero() {
		field(&b, "Arrival-Date", m.Arrived().Format(rfc5322Date))
	}
	for _, f := range r.Failures {
		b.WriteString("\r\n")
		r.recipient(&b, s, f)
	}
	return part{"message/" + s.global("delivery-status"), "Delivery report", b.Bytes()}
}

// recipient writes the group of one recipient (RFC 3464 section 2.3).
func (r *Report) recipient(b *bytes.Buffer, s script, f Failure) {
	rcpt := r.Message.Rcpt(f.Rcpt)
	if original := s.original(rcpt.ORcpt); original != "" {
		field(b, "Original-Recipient", original)
	}
	field(b, "Final-Recipient", s.address(rcpt.Addr))
	field(b, "Action", f.Action.String())
	field(b, "Status", f.status())
	if host := remoteHost(f.Relay); host != "" {
		field(b, "Remote-MTA", "dns; "+asciiOnly.clean(host))
	}
	field(b, "Diagnostic-Code", f.diagnosticType()+"; "+f.words(s))
	if !f.Time.IsZero() {
		field(b, "Last-Attempt-Date", f.Time.Format(rfc5322Date))
	}
	if f.Action == Delayed && !f.Until.IsZero() {
		field(b, "Will-Retry-Until", f.Until.Format(rfc5322Date))
	}
}

// address writes an address with its type. "utf-8" is RFC 6533's: for programs that know no other type such a recipient is
// nobody, which is better than somebody else.
func (s script) address(addr string) string {
	ascii, ok := smtp.ASCIIAddress(addr)
	switch {
	case ok:
		return "rfc822; " + asciiOnly.clean(ascii)
	case s == withUTF8:
		return "utf-8; " + s.clean(addr)
	}
	return "utf-8; " + asciiOnly.clean(embed(addr))
}

// embed writes an address in the form of RFC 6533 section 3 that needs no UTF-8 (utf-8-addr-xtext): \x{HEX} for each character
// that is no plain ASCII.
func embed(addr string) string {
	var b strings.Builder
	for _, r := range addr {
		if r > ' ' && r < 0x7f && r != '+' && r != '=' && r != '\\' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%X}`, r)
		}
	}
	return b.String()
}

// shown is an address for people: in ASCII if it must be.
func (s script) shown(addr string) string {
	if s == asciiOnly {
		if ascii, ok := smtp.ASCIIAddress(addr); ok {
			addr = ascii
		}
	}
	return s.clean(addr)
}

// original reads an ORCPT parameter, "type;xtext". It returns "" for any other text: the field is optional, and a wrong one
// would mislead a list manager.
func (s script) original(orcpt string) string {
	kind, encoded, ok := strings.Cut(orcpt, ";")
	if !ok || kind == "" || len(orcpt) > maxText {
		return ""
	}
	addr, ok := decodeXtext(encoded)
	if !ok || addr == "" {
		return ""
	}
	return s.clean(kind) + "; " + s.clean(addr)
}

// status is the reply's enhanced status code (RFC 3463) when it says the same as the action, or a general one. An expired
// recipient keeps its 4.X.X: a list manager then counts "mailbox full for two days" as full and not as gone.
func (f Failure) status() string {
	class, fallback := "2", "2.0.0"
	switch f.Action {
	case Failed:
		class, fallback = "45", "5.0.0"
	case Expired:
		class, fallback = "45", "4.4.7"
	case Delayed:
		class, fallback = "4", "4.0.0"
	}
	if isStatus(f.Reply.Enhanced) && strings.IndexByte(class, f.Reply.Enhanced[0]) >= 0 {
		return f.Reply.Enhanced
	}
	return fallback
}

// isStatus reports whether s is an enhanced status code: a digit and twice up to three.
func isStatus(s string) bool {
	fields := strings.Split(s, ".")
	if len(fields) != 3 || len(fields[0]) != 1 {
		return false
	}
	for _, d := range fields {
		if n, err := strconv.ParseUint(d, 10, 16); err != nil || n > 999 || len(d) > 3 {
			return false
		}
	}
	return true
}

// diagnosticType is "smtp" for the words of a receiver and a type of our own for words of ours.
func (f Failure) diagnosticType() string {
	if f.remote() {
		return "smtp"
	}
	return "X-Millrace"
}

// remote reports whether the words are a receiver's.
func (f Failure) remote() bool { return f.Reply.Code != 0 && remoteHost(f.Relay) != "" }

// remoteHost is the name in "name[address]:port", the address in brackets when there is no name, or "" for no relay.
func remoteHost(relay string) string {
	if relay == "none" {
		return ""
	}
	name, rest, ok := strings.Cut(relay, "[")
	if name != "" || !ok {
		return name
	}
	addr, _, _ := strings.Cut(rest, "]")
	return "[" + addr + "]"
}

// words are those of the reply. They are never empty: RFC 3464 section 2.3.6 wants a text, and so does a reader.
func (f Failure) words(s script) string {
	return orElse(s.clean(f.Reply.String()), "no reason given")
}
