package smtp

import (
	"strconv"
	"strings"
)

// Extensions lists the extensions that a peer announced in reply to EHLO.
type Extensions struct {
	Pipelining          bool   // RFC 2920
	EightBitMIME        bool   // RFC 6152
	SMTPUTF8            bool   // RFC 6531
	DSN                 bool   // RFC 3461
	Chunking            bool   // RFC 3030
	StartTLS            bool   // RFC 3207
	EnhancedStatusCodes bool   // RFC 2034
	Size                int64  // RFC 1870, bytes: -1 not announced, 0 no limit
	Limits              Limits // RFC 9422
}

// Limits has the limits that a peer announced with LIMITS (RFC 9422); 0 is not
// announced.
type Limits struct {
	MailMax       int // transactions a connection
	RcptMax       int // recipients a transaction
	RcptDomainMax int // different domains among the recipients of a transaction
}

// parseExtensions reads the lines of an EHLO reply after the first.
func parseExtensions(lines []string) Extensions {
	x := Extensions{Size: -1}
	for _, l := range lines {
		word, args, _ := strings.Cut(strings.TrimSpace(l), " ")
		x.learn(strings.ToUpper(word), args)
	}
	return x
}

func (x *Extensions) learn(keyword, args string) {
	switch keyword {
	case "PIPELINING":
		x.Pipelining = true
	case "8BITMIME":
		x.EightBitMIME = true
	case "SMTPUTF8":
		x.SMTPUTF8 = true
	case "DSN":
		x.DSN = true
	case "CHUNKING":
		x.Chunking = true
	case "STARTTLS":
		x.StartTLS = true
	case "ENHANCEDSTATUSCODES":
		x.EnhancedStatusCodes = true
	case "SIZE":
		x.Size = parseSize(args)
	case "LIMITS":
		x.Limits = parseLimits(args)
	}
}

// parseSize reads SIZE's argument. One that makes no sense is no limit: the peer
// will tell us when a message is too large for it.
func parseSize(args string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(args), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// parseLimits reads LIMITS' arguments. A syntax error makes it ignore all of
// them, a value out of range only that one (RFC 9422, 3.1).
func parseLimits(args string) Limits {
	var l Limits
	for f := range strings.FieldsSeq(args) {
		name, value, ok := strings.Cut(f, "=")
		if !ok || !isLimitName(name) || value == "" || strings.Contains(value, ";") {
			return Limits{}
		}
		l.set(strings.ToUpper(name), value)
	}
	return l
}

func (l *Limits) set(name, value string) {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n < 1 || n > 999999 {
		return
	}
	switch name {
	case "MAILMAX":
		l.MailMax = int(n)
	case "RCPTMAX":
		l.RcptMax = int(n)
	case "RCPTDOMAINMAX":
		l.RcptDomainMax = int(n)
	}
}

func isLimitName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != ""
}
