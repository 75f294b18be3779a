package filter

import (
	"strconv"
	"strings"

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
		return true
	case "SMTPUTF8": // RFC 6531 section 3.4
		e.UTF8 = true
		return value == ""
	case "AUTH": // RFC 4954 section 5: no next server trusts us with it, so it is dropped
		return true
	}
	return false
}

// setRcptParam notes a parameter of RCPT and reports whether the message may still be taken.
func setRcptParam(r *relay.Rcpt, p string) bool {
	key, value, _ := strings.Cut(p, "=")
	if !printable(value) {
		return false
	}
	switch strings.ToUpper(key) {
	case "NOTIFY": // RFC 3461 section 4.1
		r.Notify = value
		return true
	case "ORCPT": // RFC 3461 section 4.2
		r.ORcpt = value
		return true
	}
	return false
}

// printable reports whether RFC 5321 section 4.1.2 (or, with UTF-8, RFC 6531) allows value as that of a parameter.
func printable(value string) bool {
	return !strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c == 0x7f })
}
