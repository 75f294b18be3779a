package standin

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// stages are indexed by the numbers that stand for them in a list of macros.
var stages = []byte{Connect, Helo, Mail, Rcpt, Data, EndOfBody, EndOfHeader}

// lists are the names of the macros that are sent before a command, spelled as the filter or the MTA's configuration
// does.
type lists map[byte][]string

// defaultLists are the lists that the MTA uses unless the filter asks for others.
func defaultLists(f Flavor) lists {
	l := lists{
		Connect: {"j", "{daemon_name}", "{daemon_addr}", "v", "_"},
		Helo:    {"{tls_version}", "{cipher}"},
		Mail:    {"i", "{auth_type}", "{auth_authen}", "{auth_author}", "{mail_addr}", "{mail_host}", "{mail_mailer}"},
		Rcpt:    {"i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"},
	}
	if f == Sendmail {
		l[Connect] = []string{"j", "_", "{daemon_name}", "{if_name}", "{if_addr}"}
		l[EndOfBody] = []string{"{msg_id}"}
		return l
	}
	for _, stage := range []byte{Data, EndOfHeader, EndOfBody} {
		l[stage] = []string{"i"}
	}
	return l
}

// request applies the lists that a filter has asked for in its negotiation. Sendmail obeys a list for the end of the
// message only when there is one for the end of the header.
func (l lists) request(payload []byte, f Flavor) error {
	asked := lists{}
	for len(payload) > 0 {
		if len(payload) < 5 {
			return errors.New("truncated list of macros")
		}
		n := binary.BigEndian.Uint32(payload)
		names, rest, ok := bytes.Cut(payload[4:], []byte{0})
		if !ok || n >= uint32(len(stages)) {
			return errors.New("malformed list of macros")
		}
		if s := strings.Fields(string(names)); len(s) > 0 {
			asked[stages[n]] = s
		}
		payload = rest
	}
	if f == Sendmail && asked[EndOfHeader] == nil {
		delete(asked, EndOfBody)
	}
	for stage, names := range asked {
		l[stage] = names
	}
	return nil
}

// appendMacros appends the macro frame that precedes a command, unless no macro has a value.
func (c *Conn) appendMacros(dst []byte, code byte, m *Message, r *Recipient) []byte {
	names := c.lists[listFor(code)]
	if c.opts.Flavor == Sendmail && (code == Header || code == Body) {
		return dst
	}
	at := len(dst)
	dst = append(AppendFrame(dst, Macro), code)
	empty := len(dst)
	for _, name := range names {
		if v := c.value(strings.Trim(name, "{}"), code, m, r); v != "" {
			dst = append(append(append(append(dst, name...), 0), v...), 0)
		}
	}
	if len(dst) == empty {
		return dst[:at]
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// listFor is the stage whose list is sent before a command.
func listFor(code byte) byte {
	switch code {
	case Header:
		return EndOfHeader
	case Body:
		return EndOfBody
	}
	return code
}

// value is the value of a macro at this command, or "".
func (c *Conn) value(name string, code byte, m *Message, r *Recipient) string {
	if m != nil {
		if v, ok := m.Macros[name]; ok {
			return v
		}
	}
	if v := c.connectionValue(name, code); v != "" || m == nil {
		return v
	}
	switch name {
	case "i":
		// Postfix has no queue file, and so no queue id, until a recipient is accepted.
		if c.opts.Flavor == Postfix && !slices.Contains([]byte{Header, EndOfHeader, Body, EndOfBody}, code) {
			return ""
		}
		return m.QueueID
	case "auth_authen", "auth_author":
		return m.SASLUser
	case "auth_type":
		if m.SASLUser != "" {
			return "PLAIN"
		}
	case "mail_addr":
		return m.From
	}
	if r != nil {
		return r.value(name)
	}
	return ""
}

func (r *Recipient) value(name string) string {
	switch name {
	case "rcpt_mailer":
		return r.Mailer
	case "rcpt_addr":
		return cmp.Or(r.Rewritten, r.Addr)
	case "rcpt_host":
		if r.Host != "" {
			return r.Host
		}
		return r.Addr[strings.LastIndexByte(r.Addr, '@')+1:]
	}
	return ""
}

// connectionValue is the value of a macro that all messages of the connection share. Postfix sends the content from
// another process than the envelope, and that process does not know all of them.
func (c *Conn) connectionValue(name string, code byte) string {
	o := &c.opts
	switch name {
	case "j":
		return "mx.example.org"
	case "v":
		if o.Flavor == Sendmail {
			return "8.17.1.9"
		}
		return "Postfix 3.7.11"
	case "daemon_name":
		return o.DaemonName
	case "daemon_port":
		return o.DaemonPort
	case "client_name":
		return o.ClientName
	case "client_addr":
		if slices.Contains([]byte{Header, EndOfHeader, Body, EndOfBody}, code) {
			return o.ClientAddr
		}
		return prefixed(o.ClientAddr)
	case "tls_version":
		return o.TLS
	}
	return ""
}

// prefixed is an address in the form of an address literal of SMTP (RFC 5321 section 4.1.3).
func prefixed(addr string) string {
	if strings.Contains(addr, ":") {
		return "IPv6:" + addr
	}
	return addr
}
