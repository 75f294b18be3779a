package smtpd

import (
	"strings"

	"github.com/millrace/millrace/filter"
)

// abilities are what the MTA has announced. A parameter that it has not announced would have the whole command refused.
type abilities struct {
	pipelining, size, eightBit, dsn, utf8, auth bool

	xforward string // the attributes that it wants to know, " NAME ADDR ... "; "" when it wants none
}

// announce notes a line of the reply to EHLO.
func (c *abilities) announce(line string) {
	keyword, argument, _ := strings.Cut(line, " ")
	switch strings.ToUpper(keyword) {
	case "PIPELINING":
		c.pipelining = true
	case "SIZE":
		c.size = true
	case "8BITMIME":
		c.eightBit = true
	case "DSN":
		c.dsn = true
	case "SMTPUTF8":
		c.utf8 = true
	case "AUTH":
		c.auth = true
	case "XFORWARD":
		c.xforward = " " + strings.ToUpper(argument) + " "
	}
}

// knows reports whether a parameter of MAIL or RCPT may be sent.
func (c *abilities) knows(param string) bool {
	key, _, _ := strings.Cut(param, "=")
	switch strings.ToUpper(key) {
	case "SIZE":
		return c.size
	case "BODY":
		return c.eightBit
	case "RET", "ENVID", "NOTIFY", "ORCPT":
		return c.dsn
	case "SMTPUTF8":
		return c.utf8
	case "AUTH":
		return c.auth
	}
	return false
}

// argument is that of MAIL or RCPT without the parameters that the MTA does not know.
func (c *abilities) argument(received string) string {
	cmd := filter.ParseCommand(received)
	b := "<" + cmd.Path + ">"
	for _, p := range cmd.Params {
		if c.knows(p) {
			b += " " + p
		}
	}
	return b
}

// needsUTF8 reports whether a MAIL asks for SMTPUTF8.
func needsUTF8(mail string) bool {
	for _, p := range filter.ParseCommand(mail).Params {
		if strings.EqualFold(p, "SMTPUTF8") {
			return true
		}
	}
	return false
}

// maxXForward bounds a line of XFORWARD. Its README asks for no more than RFC 5321's 512 bytes, with the line end.
const maxXForward = 500

// forwards are the XFORWARD commands that tell the MTA where a message comes from. What is not known is said to be so, because the
// MTA would take our own address for it.
func (c *abilities) forwards(e *passEnvelope) []string {
	if c.xforward == "" {
		return nil
	}
	addr := ""
	if a := e.client.ClientAddr; a.IsValid() {
		if addr = a.String(); !a.Is4() {
			addr = "IPV6:" + addr
		}
	}
	name := e.client.ClientName
	if name == "unknown" {
		name = ""
	}
	var list []string
	line := ""
	for _, a := range [][2]string{
		{"NAME", name}, {"ADDR", addr}, {"PORT", e.forward.Port}, {"PROTO", e.forward.Proto}, {"HELO", e.client.Helo}, {"IDENT", e.queueID}, {"SOURCE", e.forward.Source},
	} {
		if !strings.Contains(c.xforward, " "+a[0]+" ") {
			continue
		}
		word := " " + a[0] + "=" + xtext(a[1])
		if line != "" && len(line)+len(word) > maxXForward {
			list, line = append(list, "XFORWARD"+line), ""
		}
		line += word
	}
	if line != "" {
		list = append(list, "XFORWARD"+line)
	}
	return list
}

// maxXValue bounds a value. Postfix takes 255 bytes of a name.
const maxXValue = 255

// xtext encodes a value (RFC 3461 section 4); "" is "[UNAVAILABLE]".
func xtext(s string) string {
	if s == "" {
		return "[UNAVAILABLE]"
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+8)
	for _, c := range []byte(s[:min(len(s), maxXValue)]) {
		if c <= ' ' || c >= 0x7f || c == '+' || c == '=' {
			b = append(b, '+', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}
