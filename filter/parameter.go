package filter

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/relay"
)

// A parameter we do not know changes what the sender is promised, and so does a value we do not understand: in both
// cases the message stays with the MTA.

// setMailParam notes a parameter of MAIL and reports whether the message may still be taken.
func setMailParam(e *relay.Envelope, o *Offer, p string) bool {
	key, value, _ := strings.Cut(p, "=")
	if !printable(value) {
		return false
	}
	switch strings.ToUpper(key) {
	case "SIZE": // RFC 1870
		n, err := strconv.ParseInt(value, 10, 64)
		o.Size = n
		return err == nil && n >= 0
	case "BODY": // RFC 6152; BINARYMIME (RFC 3030) cannot be sent by DATA
		return strings.EqualFold(value, "7BIT") || strings.EqualFold(value, "8BITMIME")
	case "RET": // RFC 3461 section 4.3
		e.Ret = strings.ToUpper(value)
		return e.Ret == "FULL" || e.Ret == "HDRS"
	case "ENVID": // RFC 3461 section 4.4
		e.EnvID = value
		return len(value) <= maxEnvID && isXtext(value)
	case "SMTPUTF8": // RFC 6531 section 3.4
		e.UTF8 = true
		return value == ""
	case "AUTH": // RFC 4954 section 5: no next server trusts us with it, so it is dropped
		return true
	}
	return false
}

// Longest values (RFC 3461 sections 4.4 and 4.2).
const (
	maxEnvID = 100
	maxORcpt = 500
)

// setRcptParam notes a parameter of RCPT and reports whether the message may still be taken. international says that the
// client asked for SMTPUTF8.
func setRcptParam(r *relay.Rcpt, p string, international bool) bool {
	key, value, _ := strings.Cut(p, "=")
	if !printable(value) {
		return false
	}
	switch strings.ToUpper(key) {
	case "NOTIFY": // RFC 3461 section 4.1
		r.Notify = value
		return isNotify(value)
	case "ORCPT": // RFC 3461 section 4.2
		r.ORcpt = value
		return isORcpt(value, international)
	}
	return false
}

// isNotify reports whether value is NEVER, or a list of conditions without it.
func isNotify(value string) bool {
	if strings.EqualFold(value, "NEVER") {
		return true
	}
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		if word != "SUCCESS" && word != "FAILURE" && word != "DELAY" {
			return false
		}
	}
	return true
}

// isORcpt reports whether value is an address type and an address that a receiver will read. Only with SMTPUTF8 may it have
// UTF-8 (RFC 6533 section 3).
func isORcpt(value string, international bool) bool {
	kind, addr, found := strings.Cut(value, ";")
	switch {
	case !found || kind == "" || addr == "" || len(value) > maxORcpt || !utf8.ValidString(value):
		return false
	case strings.EqualFold(kind, "utf-8"):
		return international || !hasEightBit([]byte(addr))
	}
	return isXtext(addr) || international && hasEightBit([]byte(addr))
}

// isXtext reports whether s is xtext (RFC 3461 section 4): printable ASCII, with "+" and two hexadecimal digits for any
// other byte and for "+" and "=".
func isXtext(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || c == '=':
			return false
		case c == '+':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
			i += 2
		}
	}
	return true
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

// printable reports whether RFC 5321 section 4.1.2 (or, with UTF-8, RFC 6531) allows value as that of a parameter.
func printable(value string) bool {
	return !strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c == 0x7f })
}
