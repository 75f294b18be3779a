package bounce

import "strings"

// decodeXtext undoes the encoding of ENVID and ORCPT (RFC 3461 section 4): "+" and two upper-case hexadecimal digits are
// one byte. It reports false for any other text: to guess would put a wrong address into the report.
func decodeXtext(s string) (string, bool) {
	if !strings.Contains(s, "+") {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), true
}

// hexDigit is the value of an upper-case hexadecimal digit, or -1.
func hexDigit(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }
