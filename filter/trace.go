package filter

import (
	"bytes"
	"net/netip"
	"strings"
	"time"
)

// mark tells our Received fields from those of the MTA, which has the same host name.
const mark = "(Millrace)"

// Limits for texts of strangers in our Received field, so that none of its lines comes near 998 bytes (RFC 5322 section
// 2.1.1).
const (
	maxTraceName = 255
	maxTraceRcpt = 320
)

// Trace is the facts in our Received field (RFC 5321 section 4.4).
type Trace struct {
	Helo       string
	ClientName string
	ClientAddr netip.Addr
	Protocol   string // see Protocol
	ID         string // queue id
	For        string // the recipient when there is exactly one, else "": no recipient may learn of another
	Date       time.Time
}

// Protocol is the keyword behind "with" in a Received field (RFC 3848, RFC 6531 section 4.3).
func Protocol(utf8, tls, auth bool) string {
	w := "ESMTP"
	if utf8 {
		w = "UTF8SMTP"
	}
	if tls {
		w += "S"
	}
	if auth {
		w += "A"
	}
	return w
}

// Received is our Received field, ended by CRLF. Texts of strangers are cleaned: no name can end the field, or a
// comment in it.
func (f *Filter) Received(t Trace) []byte {
	b := make([]byte, 0, 256)
	b = append(b, "Received: from "...)
	b = appendWord(b, t.Helo)
	b = append(b, " ("...)
	b = appendWord(b, t.ClientName)
	b = append(b, " ["...)
	b = appendAddr(b, t.ClientAddr)
	b = append(b, "])\r\n\tby "...)
	b = append(b, f.hostname...)
	b = append(b, " "+mark+" with "...)
	b = appendWord(b, t.Protocol)
	b = append(b, " id "...)
	b = appendWord(b, t.ID)
	if t.For != "" && len(t.For) <= maxTraceRcpt && !strings.ContainsFunc(t.For, notInPath) {
		b = append(b, "\r\n\tfor <"...)
		b = append(b, t.For...)
		b = append(b, '>')
	}
	b = append(b, ";\r\n\t"...)
	b = t.Date.AppendFormat(b, "Mon, 2 Jan 2006 15:04:05 -0700")
	return append(b, "\r\n"...)
}

// notInPath reports a character that could end a path early in a Received field. A quoted local part may have such
// characters; then the "for" clause, which is optional, is left out.
func notInPath(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune("<>();", c) }

func appendWord(b []byte, s string) []byte {
	if s == "" {
		return append(b, "unknown"...)
	}
	if len(s) > maxTraceName {
		s = s[:maxTraceName]
	}
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>;,\"`, c) >= 0 {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}

// appendAddr writes an address literal (RFC 5321 section 4.1.3) without its brackets.
func appendAddr(b []byte, a netip.Addr) []byte {
	a = a.Unmap()
	if !a.IsValid() {
		return append(b, "unknown"...)
	}
	if a.Is6() {
		b = append(b, "IPv6:"...)
	}
	return a.WithZone("").AppendTo(b)
}

// marked reports whether the value of a Received field says "by hostname (Millrace)", however it is folded.
func marked(value []byte, hostname string) bool {
	for {
		i := bytes.Index(value, []byte(mark))
		if i < 0 {
			return false
		}
		words := bytes.Fields(value[:i])
		if n := len(words); n >= 2 && bytes.EqualFold(words[n-1], []byte(hostname)) && bytes.EqualFold(words[n-2], []byte("by")) {
			return true
		}
		value = value[i+len(mark):]
	}
}
