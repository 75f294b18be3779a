package filter

import (
	"bytes"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// content is what has come of a message's header and body. All buffers are the door's, and go on to its next message.
type content struct {
	trace  []byte    // our own field
	header []byte    // field lines ended by CRLF
	body   []byte    // in *lent; its capacity is what was reserved for it
	lent   *[]byte   // nil until there is a body
	walk   smtp.Walk // over the header, once it is known to be taken, and over the body as it comes
}

var crlf = []byte("\r\n")

// endHeader begins the walk over the bytes.
func (c *content) endHeader() {
	c.walk.Write(c.header)
	c.walk.Write(crlf)
}

// setBody keeps the body, of which the bytes behind those that were there are new.
func (c *content) setBody(body []byte) {
	c.walk.Write(body[len(c.body):])
	switch moved := c.lent != nil && cap(body) > cap(c.body); { // the door has appended more than there was room for
	case moved && cap(body) > cap(*c.lent):
		*c.lent = body
	case moved:
		body = append((*c.lent)[:0:cap(body)], body...)
	}
	c.body = body
}

// form is the form of the message with our own field before it, which ends with CRLF as the header does.
func (c *content) form(trace []byte) smtp.Form {
	form, above := c.walk.Form(), smtp.FormOf([][]byte{trace})
	return smtp.Form{Size: above.Size + form.Size, Dots: above.Dots + form.Dots, Traits: above.Traits | form.Traits}
}

// appendField adds a field byte for byte and reports whether it is one. The lines of a folded value are joined by LF or
// CRLF. A line that does not begin with a blank would be a field of its own, or the end of the header.
func (c *content) appendField(name, value []byte) bool {
	if !fieldName(name) {
		return false
	}
	c.header = append(append(c.header, name...), ':')
	for {
		line, rest, more := bytes.Cut(value, []byte("\n"))
		c.header = append(append(c.header, bytes.TrimSuffix(line, []byte("\r"))...), '\r', '\n')
		if !more {
			return true
		}
		if len(rest) == 0 || !blank(rest[0]) {
			return false
		}
		value = rest
	}
}

// appendLine adds a line and reports whether it can stand in a header: it begins a field, or continues one.
func (c *content) appendLine(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte(":"))
	continues := len(line) > 0 && blank(line[0]) && len(c.header) > 0
	if !continues && (!found || !fieldName(name)) {
		return false
	}
	c.header = append(append(c.header, line...), '\r', '\n')
	return true
}

// fieldName reports whether name can be one (RFC 5322 section 2.2).
func fieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return len(name) > 0
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// maxHint bounds what is allocated on the client's word.
const maxHint = 1 << 20

// bodySize is how large the buffer of the body must be to append n bytes to it. A body that comes in one piece, as most do,
// gets a buffer of just that size. If more will follow, the buffer is as large as the client has announced the message to be,
// and grows by a quarter from there.
func (c *content) bodySize(n int, more bool, announced int64) int {
	need := len(c.body) + n
	switch {
	case need <= cap(c.body):
		return cap(c.body)
	case !more:
		return need
	case c.body == nil:
		return max(need, int(min(announced-int64(len(c.header)), maxHint)))
	}
	return max(need, cap(c.body)+cap(c.body)/4)
}

// growBody makes room for size bytes of body.
func (c *content) growBody(size int, from *bodies) {
	if size <= cap(c.body) {
		return
	}
	if c.lent == nil || size > cap(*c.lent) {
		larger := from.lend(size)
		*larger = append((*larger)[:0], c.body...)
		from.takeBack(c.lent)
		c.lent = larger
	}
	c.body = (*c.lent)[:len(c.body):size]
}

// lend gives the heart the message while Accept runs: Accept divides it, and keeps none of these bytes. If it did, this would be the place
// to copy them.
func (c *content) lend(f *Filter, t Trace) relay.Content {
	c.trace = f.AppendReceived(c.trace[:0], t)
	return relay.NewContent(relay.Letter{Trace: c.trace, Header: c.header, Body: c.body, Form: c.form(c.trace)})
}

// Field adds a header field byte for byte, as a milter is told it: the MTA has joined the lines of a folded value by
// LF, and the value begins right behind the colon.
func (m *Mail) Field(name, value []byte) {
	n := len(m.content.header)
	if m.headerRoom(len(name) + len(value) + len(":\r\n")) {
		m.keepHeader(n, m.content.appendField(name, value))
	}
}

// HeaderLine adds one line of a header, as a door reads it from a stream: without its CRLF, and not the empty line that
// ends the header.
func (m *Mail) HeaderLine(line []byte) {
	n := len(m.content.header)
	if m.headerRoom(len(line) + len("\r\n")) {
		m.keepHeader(n, m.content.appendLine(line))
	}
}

// keepHeader keeps what was appended behind the first n bytes of the header, if it was well-formed and there is memory.
func (m *Mail) keepHeader(n int, wellFormed bool) {
	if !wellFormed {
		m.leaveFor(CauseForm, leftField)
	}
	if !m.charge(len(m.content.header) - n) {
		m.content.header = m.content.header[:n]
	}
}

// headerRoom reports whether n more bytes of header may come, and leaves the message when not.
func (m *Mail) headerRoom(n int) bool {
	switch {
	case m.left != "":
	case m.verdict.Decision != Unknown:
		m.Leave(leftOrder)
	case len(m.content.header)+n > m.intake.limits.HeaderBytes:
		m.leaveFor(CauseHeader, leftHeader)
	}
	return m.left == ""
}

// RawHeader is the header so far: field lines ended by CRLF. It is valid until DropContent or Dismiss. A line or field
// for which the message was left is not in it.
func (m *Mail) RawHeader() []byte { return m.content.header }

// BodyRoom asks for room for n more bytes of the body; more says that n bytes are not the last. When it returns true,
// the door appends the bytes to dst and gives the result to SetBody. When it returns false, the message is left and the
// door must read past the bytes. A door thus reads from its connection straight into the message.
func (m *Mail) BodyRoom(n int, more bool) (dst []byte, ok bool) {
	switch {
	case m.left != "":
		return nil, false
	case m.verdict.Decision != Take:
		m.Leave(leftOrder)
		return nil, false
	case !m.BodyFits(n):
		m.leaveFor(CauseSize, leftBody)
		return nil, false
	}
	size := m.content.bodySize(n, more, m.offer.Size)
	if !m.reserve(size - cap(m.content.body)) {
		return nil, false
	}
	m.content.growBody(size, &m.intake.bodies)
	return m.content.body, true
}

// BodyFits reports whether n more bytes of the body are within the size that a message may have.
func (m *Mail) BodyFits(n int) bool {
	return int64(len(m.content.header)+len(m.content.body)+n) <= m.filter.SizeLimit()
}

// RawBody is the body so far. It is valid until DropContent or Dismiss, and must not be changed.
func (m *Mail) RawBody() []byte { return m.content.body }

// SetBody is given what BodyRoom returned, with the new bytes behind it. If they were more than the door has asked room for, and there
// is no memory for them, the message is left.
func (m *Mail) SetBody(body []byte) {
	grown := cap(body) - cap(m.content.body)
	m.content.setBody(body)
	if grown > 0 {
		m.reserve(grown)
	}
}

// AppendBody adds a piece of the body that need not be the last, for a door that has it in a buffer of its own.
func (m *Mail) AppendBody(p []byte) {
	if dst, ok := m.BodyRoom(len(p), true); ok {
		m.SetBody(append(dst, p...))
	}
}
