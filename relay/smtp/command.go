package smtp

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Bounds of the values in a command. RFC 5321, 4.5.3.1.3 allows a path of 256
// bytes, RFC 3461 an ORCPT of 500. The bounds here are wider, because a receiver
// may take more than it must; the longest command stays below maxCommand.
const (
	maxPath    = 512
	maxParam   = 512
	maxCommand = maxPath + 2*maxParam + 128
)

var (
	errPath    = errors.New("address cannot be sent in a command")
	errUnicode = errors.New("address needs SMTPUTF8")
)

// checkPath reports why addr cannot stand between the angle brackets of MAIL or
// RCPT; international means that non-ASCII may be sent as it is. No other check
// keeps an address from becoming a parameter or a command of its own.
func checkPath(addr string, international bool) error {
	if len(addr) > maxPath || !utf8.ValidString(addr) {
		return errPath
	}
	rest, ok := skipQuoted(addr)
	if !ok {
		return errPath
	}
	if !isPlain(rest) {
		return errPath
	}
	if isASCII(addr) || international {
		return nil
	}
	_, err := asciiPath(addr)
	return err
}

// skipQuoted returns the part of addr behind a quoted local part, or all of addr
// when it has none (RFC 5321, 4.1.2). It is false when the quoting is not in order.
func skipQuoted(addr string) (rest string, ok bool) {
	if !strings.HasPrefix(addr, `"`) {
		return addr, true
	}
	for i := 1; i < len(addr); i++ {
		switch b := addr[i]; {
		case b < ' ' || b == 0x7f:
			return "", false
		case b == '\\':
			i++
			if i == len(addr) || addr[i] < ' ' || addr[i] == 0x7f {
				return "", false
			}
		case b == '"':
			rest = addr[i+1:]
			return rest, rest == "" || rest[0] == '@'
		}
	}
	return "", false
}

// ASCIIAddress returns addr as a receiver without SMTPUTF8 gets it: the domain in A-labels. It reports false when only a
// receiver with SMTPUTF8 can get it.
func ASCIIAddress(addr string) (string, bool) {
	if isASCII(addr) {
		return addr, true
	}
	ascii, err := asciiPath(addr)
	return ascii, err == nil
}

// asciiPath returns addr with its domain in A-labels (RFC 5891), which every
// receiver understands. A local part has no such form.
func asciiPath(addr string) (string, error) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || !isASCII(addr[:at]) {
		return "", errUnicode
	}
	p := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))
	domain, err := p.ToASCII(addr[at+1:])
	if err != nil {
		return "", errUnicode
	}
	out := addr[:at+1] + domain
	// The mapped domain is new input: mapping can make forbidden bytes of allowed ones.
	if !isPlain(domain) || !isASCII(domain) || len(out) > maxPath {
		return "", errPath
	}
	return out, nil
}

// isPlain reports whether s has no byte that would end a path or a command.
func isPlain(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b <= ' ', b == 0x7f, b == '<', b == '>', b == '"':
			return false
		}
	}
	return true
}

// wirePath returns addr as it is written; addr has passed checkPath.
func wirePath(addr string, international bool) string {
	if international || isASCII(addr) {
		return addr
	}
	ascii, err := asciiPath(addr)
	if err != nil {
		return "" // cannot be: checkPath has made the same conversion
	}
	return ascii
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isParam reports whether s can be the value of an ESMTP parameter (RFC 5321,
// 4.1.2): printable and without a space. The empty value stands for none.
func isParam(s string, international bool) bool {
	if len(s) > maxParam || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || s[i] >= utf8.RuneSelf && !international {
			return false
		}
	}
	return true
}

// appendMail appends the MAIL command of tx; tx has passed Conn.refuse.
func appendMail(out []byte, tx *Transaction, x *Extensions, size int64) []byte {
	out = append(out, "MAIL FROM:<"...)
	out = append(out, wirePath(tx.From, tx.UTF8)...)
	out = append(out, '>')
	if x.Size >= 0 {
		out = append(out, " SIZE="...)
		out = strconv.AppendInt(out, size, 10)
	}
	if tx.EightBit {
		out = append(out, " BODY=8BITMIME"...)
	}
	if tx.UTF8 {
		out = append(out, " SMTPUTF8"...)
	}
	if x.DSN {
		out = appendParam(out, " RET=", tx.Ret)
		out = appendParam(out, " ENVID=", tx.EnvID)
	}
	return append(out, "\r\n"...)
}

// appendRcpt appends the RCPT command of r; r has passed checkRcpt.
func appendRcpt(out []byte, r *Rcpt, dsn, international bool) []byte {
	out = append(out, "RCPT TO:<"...)
	out = append(out, wirePath(r.Addr, international)...)
	out = append(out, '>')
	if dsn {
		out = appendParam(out, " NOTIFY=", r.Notify)
		out = appendParam(out, " ORCPT=", r.ORcpt)
	}
	return append(out, "\r\n"...)
}

func appendParam(out []byte, name, value string) []byte {
	if value == "" {
		return out
	}
	out = append(out, name...)
	return append(out, value...)
}

// appendBDAT appends the command for a message of that size in one chunk (RFC 3030, 2).
func appendBDAT(out []byte, size int64) []byte {
	out = strconv.AppendInt(append(out, "BDAT "...), size, 10)
	return append(out, " LAST\r\n"...)
}
