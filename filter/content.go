package filter

import "bytes"

// Field adds a header field byte for byte, as a milter is told it: the MTA has joined the lines of a folded value by LF, and
// the value begins right behind the colon.
func (m *Mail) Field(name, value []byte) {
	if !m.collecting() {
		return
	}
	if !fieldName(name) {
		m.Leave(leftField)
		return
	}
	if !m.headerRoom(len(name) + len(value) + len(":\r\n")) {
		return
	}
	before := len(m.header)
	m.header = append(append(m.header, name...), ':')
	for {
		line, rest, more := bytes.Cut(value, []byte("\n"))
		m.header = append(append(m.header, bytes.TrimSuffix(line, []byte("\r"))...), '\r', '\n')
		if !more {
			break
		}
		// A line that does not begin with a blank would be a field of its own, or the end of the header.
		if len(rest) == 0 || !blank(rest[0]) {
			m.Leave(leftField)
			return
		}
		value = rest
	}
	m.charge(len(m.header) - before)
}

// HeaderLine adds one line of a header, as a door reads it from a stream: without its CRLF, and not the empty line that
// ends the header. A line that is neither a field's first nor the continuation of one leaves the message with the MTA.
func (m *Mail) HeaderLine(line []byte) {
	if !m.collecting() {
		return
	}
	name, _, found := bytes.Cut(line, []byte(":"))
	continued := len(line) > 0 && blank(line[0]) && len(m.header) > 0
	if !continued && (!found || !fieldName(name)) {
		m.Leave(leftField)
		return
	}
	n := len(line) + len("\r\n")
	if m.headerRoom(n) {
		m.header = append(append(m.header, line...), '\r', '\n')
		m.charge(n)
	}
}

// collecting reports whether the header may still grow: not behind its end.
func (m *Mail) collecting() bool {
	if m.verdict.Decision != Unknown {
		m.Leave(leftOrder)
	}
	return m.left == ""
}

// headerRoom reports whether n more bytes of header are allowed, and leaves the message when not.
func (m *Mail) headerRoom(n int) bool {
	if len(m.header)+n > m.intake.limits.HeaderBytes {
		m.Leave(leftHeader)
	}
	return m.left == ""
}

// Header is the header so far: field lines ended by CRLF. It is valid until Dismiss.
func (m *Mail) Header() []byte { return m.header }

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

// BodyRoom asks for room for n more bytes of the body; more says that n bytes are not the last. When it returns true, the
// door appends the bytes to dst and gives the result to SetBody. When it returns false, the message is left and the
// door must read past the bytes. A door thus reads from its connection straight into the message.
func (m *Mail) BodyRoom(n int, more bool) (dst []byte, ok bool) {
	if m.left != "" {
		return nil, false
	}
	if m.verdict.Decision != Take {
		m.Leave(leftOrder)
		return nil, false
	}
	if int64(len(m.header)+len(m.body)+n) > m.filter.SizeLimit() {
		m.Leave(leftBody)
		return nil, false
	}
	if !m.charge(n) {
		return nil, false
	}
	if m.body != nil {
		return m.body, true
	}
	// A body that comes in one piece, as most do, gets a buffer of just that size.
	size := n
	if more {
		size = max(n, m.sizeHint())
	}
	return make([]byte, 0, min(size, maxHint)), true
}

// sizeHint guesses how long the body will be, from the SIZE the client announced.
func (m *Mail) sizeHint() int {
	return int(min(max(m.offer.Size-int64(len(m.header)), 0), maxHint))
}

// SetBody is given what BodyRoom returned, with the new bytes behind it.
func (m *Mail) SetBody(body []byte) { m.body = body }

// AppendBody adds a piece of the body that is not the last, for a door that has it in a buffer of its own.
func (m *Mail) AppendBody(p []byte) {
	if dst, ok := m.BodyRoom(len(p), true); ok {
		m.SetBody(append(dst, p...))
	}
}
