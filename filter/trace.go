package filter

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// mark begins the comment that tells our Received fields from those of the MTA, which has the same host name. Behind it comes
// the seal: "(Millrace 0123456789abcdef)".
const mark = "(Millrace"

// A seal is the beginning of a keyed hash of the queue id and the date in the same field. The key is the secret of the state
// directory, so mail that was handed back is known after the host's name has changed. Every receiver sees the seal. A stranger can
// copy a whole field and cannot make one; a copied field does no more than leave the message with the MTA.
const sealDigits = 16

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

// LineProtocol is Protocol for a door that speaks SMTP or LMTP itself (RFC 3848, RFC 6531 section 4.3).
func LineProtocol(lmtp, utf8, tls, auth bool) string {
	w := Protocol(utf8, tls, auth)
	switch {
	case !lmtp:
		return w
	case utf8:
		return "UTF8LMTP" + w[len("UTF8SMTP"):]
	}
	return "LMTP" + w[len("ESMTP"):]
}

// Received is our Received field, ended by CRLF. Texts of strangers are cleaned: no name can end the field, or a
// comment in it.
func (f *Filter) Received(t Trace) []byte { return f.AppendReceived(nil, t) }

// AppendReceived appends what Received returns.
func (f *Filter) AppendReceived(b []byte, t Trace) []byte {
	b = append(b, "Received: from "...)
	b = appendWord(b, t.Helo)
	b = append(b, " ("...)
	b = appendWord(b, t.ClientName)
	b = append(b, " ["...)
	b = appendAddr(b, t.ClientAddr)
	b = append(b, "])\r\n\tby "...)
	b = append(b, f.hostname...)
	var named [maxTraceName]byte
	var dated [2 * len(traceDate)]byte
	id, date := appendWord(named[:0], t.ID), t.Date.AppendFormat(dated[:0], traceDate)
	b = append(b, " "+mark...)
	if len(f.secret) > 0 {
		b = f.appendSeal(append(b, ' '), id, date)
	}
	b = append(b, ") with "...)
	b = appendWord(b, t.Protocol)
	b = append(b, " id "...)
	b = append(b, id...)
	if t.For != "" && len(t.For) <= maxTraceRcpt && !strings.ContainsFunc(t.For, notInPath) {
		b = append(b, "\r\n\tfor <"...)
		b = append(b, t.For...)
		b = append(b, '>')
	}
	b = append(b, ";\r\n\t"...)
	b = append(b, date...)
	return append(b, "\r\n"...)
}

// traceDate is the form of the date in a Received field (RFC 5322 section 3.3).
const traceDate = "Mon, 2 Jan 2006 15:04:05 -0700"

// appendSeal appends the seal of a field with this id and this date.
func (f *Filter) appendSeal(b, id, date []byte) []byte {
	s, _ := f.sealers.Get().(*sealer)
	if s == nil {
		s = &sealer{hash: hmac.New(sha256.New, f.secret)}
	}
	defer f.sealers.Put(s)
	s.hash.Reset()
	s.text = append(append(append(s.text[:0], id...), ' '), date...) // no id has a blank
	s.hash.Write(s.text)
	s.sum = s.hash.Sum(s.sum[:0])
	return hex.AppendEncode(b, s.sum[:sealDigits/2])
}

// sealer is a keyed hash, with room for what it reads and says. It is kept: to key a hash takes longer than to make a seal.
type sealer struct {
	hash hash.Hash
	text []byte
	sum  []byte
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

// marked reports whether the value of a Received field is one of ours, however it is folded. One with a seal must have the right
// one, whatever the host is called. One without is of an older program, and counts if it says "by" and the host's name of now.
func (f *Filter) marked(value []byte) bool {
	for {
		i := bytes.Index(value, []byte(mark))
		if i < 0 {
			return false
		}
		before, behind := value[:i], value[i+len(mark):]
		if len(behind) > 0 && behind[0] == ')' && f.named(before) || f.sealed(behind) {
			return true
		}
		value = behind
	}
}

// named reports whether what stands before a mark ends in "by" and the host's name.
func (f *Filter) named(before []byte) bool {
	words := bytes.Fields(before)
	n := len(words)
	return n >= 2 && bytes.EqualFold(words[n-1], []byte(f.hostname)) && bytes.EqualFold(words[n-2], []byte("by"))
}

// sealed reports whether what stands behind a mark begins with the seal that the id and the date behind it must have.
func (f *Filter) sealed(behind []byte) bool {
	comment, rest, closed := bytes.Cut(behind, []byte(")"))
	seal := bytes.TrimSpace(comment)
	if !closed || len(seal) != sealDigits || len(f.secret) == 0 {
		return false
	}
	clauses, date, dated := bytes.Cut(rest, []byte(";")) // no clause of ours has a semicolon
	words := bytes.Fields(clauses)
	i := slices.IndexFunc(words, func(w []byte) bool { return string(w) == "id" })
	if !dated || i < 0 || i+1 == len(words) {
		return false
	}
	want := f.appendSeal(nil, words[i+1], bytes.Join(bytes.Fields(date), []byte(" ")))
	return hmac.Equal(want, seal)
}
