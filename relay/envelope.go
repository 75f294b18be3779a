package relay

import "strings"

// Envelope is who a message is from and for (RFC 5321 section 2.3.1), with the DSN parameters of RFC 3461 as the client gave them.
type Envelope struct {
	From  string // reverse-path without angle brackets, in canonical form; "" is the null sender
	Ret   string // RET parameter: "FULL", "HDRS" or "" when not given
	EnvID string // ENVID parameter, xtext as received
	UTF8  bool   // the message needs SMTPUTF8 (RFC 6531); that a client only asked for it is no need
	Rcpts []Rcpt
}

// Rcpt is one recipient.
type Rcpt struct {
	Addr   string // forward-path without angle brackets, in canonical form (RFC 5321 section 4.1.2)
	Notify string // NOTIFY parameter as received, "" when not given
	ORcpt  string // ORCPT parameter, "rfc822;xtext" as received
}

// Domain returns what follows the last "@" of an address, or "" when there is none.
func Domain(addr string) string {
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		return addr[i+1:]
	}
	return ""
}

// Distinct drops recipients that name a mailbox already named: compared without regard to case and to needless
// quoting, as Postfix does it, because one person listed twice wants one copy.
func (e *Envelope) Distinct() {
	if len(e.Rcpts) < 2 {
		return
	}
	seen := make(map[string]bool, len(e.Rcpts))
	kept := e.Rcpts[:0:0]
	for _, r := range e.Rcpts {
		key := mailbox(r.Addr)
		if !seen[key] {
			seen[key] = true
			kept = append(kept, r)
		}
	}
	e.Rcpts = kept
}

// mailbox is the form of an address under which two spellings of one mailbox are equal.
func mailbox(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		at = len(addr)
	}
	return strings.ToLower(unquote(addr[:at]) + addr[at:])
}

// unquote removes the quotes and backslashes of a quoted local part (RFC 5321 section 4.1.2).
func unquote(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	inner := local[1 : len(local)-1]
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			i++
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}
