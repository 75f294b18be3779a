package relay

import "bytes"

// Content is the bytes of one message. Until Accept divides it, a Content holds the message as it was taken; from then on it has
// a part of its own, and a Wrapper with what many messages of a campaign have in common. Only Content knows how the two make up the
// message. The wire asks for Pieces; the journal records the Wrapper once and Part for each message, and gives both back after a
// crash; a merge makes contents from a Wrapper without ever having a whole message.
type Content struct {
	*Personal // nil once the message is divided

	// EightBit says that a byte of the message has the high bit set: the receiver must offer 8BITMIME (RFC 6152). The door finds
	// out while it reads the message; the journal keeps the answer, so that a recovery need not look at every byte again.
	EightBit bool

	body    []byte
	part    []byte
	wrapper *Wrapper // nil until the message is divided
}

// Personal is what stands before the body of a message, as it was taken.
type Personal struct {
	Trace    []byte // our own Received field (RFC 5321 section 4.4), CRLF at the end
	Header   []byte // the header as taken, byte for byte, without the empty line that ends it
	EightBit bool   // see Content
}

// NewContent returns the content of a message that is not divided yet. Until it is, the caller must not change its bytes.
func NewContent(p Personal, body []byte) Content {
	return Content{Personal: &p, EightBit: p.EightBit, body: body}
}

// Content returns the content of one more message that has the shared part w. It takes no reference: only a Wrappers counts
// those. It keeps part.
func (w *Wrapper) Content(part []byte, eightBit bool) Content {
	return Content{EightBit: eightBit, part: part, wrapper: w}
}

// Behind returns the content that consists of head and, behind it, all of w: its view begins with the empty line. So messages are
// that were recorded before they were divided.
func (w *Wrapper) Behind(head []byte, eightBit bool) Content { return w.Content(head, eightBit) }

var crlf = []byte("\r\n")

// Pieces returns the bytes for the wire, in pieces that must not be changed.
func (c *Content) Pieces() [][]byte {
	switch {
	case c.wrapper != nil:
		return [][]byte{c.part, c.wrapper.view}
	case c.Personal == nil:
		return nil
	}
	return [][]byte{c.Trace, c.Header, crlf, c.body}
}

// Size is the number of bytes of Pieces.
func (c *Content) Size() int64 {
	n := 0
	for _, p := range c.Pieces() {
		n += len(p)
	}
	return int64(n)
}

// Head is what stands before the empty line: our own Received field and the header as taken. It must not be changed.
func (c *Content) Head() []byte {
	if c.Personal != nil {
		return append(bytes.Clone(c.Trace), c.Header...)
	}
	return c.part
}

// Body is the body of the message as taken. It must not be changed.
func (c *Content) Body() []byte {
	if c.wrapper != nil {
		return c.wrapper.view[len(crlf):]
	}
	return c.body
}

// Part is what the journal records of a divided message beside its Wrapper.
func (c *Content) Part() []byte { return c.part }

// Wrapper holds the shared part of a divided message. It is nil before.
func (c *Content) Wrapper() *Wrapper { return c.wrapper }

// wrap gives the message a part and a wrapper of w, which charges the shared part to a.
func (c *Content) wrap(w *Wrappers, a Account) {
	if c.wrapper != nil {
		w.adopt(c.wrapper, a)
		return
	}
	c.part, c.wrapper = c.Head(), w.Wrap(c.body, a)
	c.Personal, c.body = nil, nil
}

// unwrap gives the reference on the shared part back. The content still reads the same.
func (c *Content) unwrap(w *Wrappers) { w.Unwrap(c.wrapper) }

// weigh is the bytes that the message's own part takes.
func (c *Content) weigh() int64 { return heapSize(len(c.part)) }
