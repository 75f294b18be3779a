package relay

import "crypto/sha256"

// Content is the bytes of one message: a personal part of its own, and a shared part that many messages of a campaign have
// in common. Only Content knows how the two make up the message. The wire asks for Pieces; the journal records Shared once
// and Personal for each message, and gives both back after a crash; a merge makes contents from a Wrapper without ever
// having a whole message. Today the shared part is the body. A finer division changes this file and no other.
type Content struct {
	Personal
	shared  []byte   // the shared part until a Wrapper holds it
	wrapper *Wrapper // nil until then
}

// Personal is the part of a message that no other message has.
type Personal struct {
	Trace  []byte // our own Received field (RFC 5321 section 4.4), CRLF at the end
	Header []byte // the header as taken, byte for byte, without the empty line that ends it

	// EightBit says that a byte of the message, the shared part included, has the high bit set: the receiver must offer
	// 8BITMIME (RFC 6152). The door finds out while it reads the message; the journal keeps the answer, so that a recovery
	// need not look at every byte again.
	EightBit bool
}

// NewContent returns the content of a message whose shared part is not in a Wrapper yet. It keeps both parts; the caller must
// not change them any more.
func NewContent(p Personal, shared []byte) Content { return Content{Personal: p, shared: shared} }

// Content returns the content of one more message that has the shared part w. It takes no reference: only a Wrappers counts
// those.
func (w *Wrapper) Content(p Personal) Content { return Content{Personal: p, wrapper: w} }

var crlf = []byte("\r\n")

// Pieces returns the bytes for the wire, in pieces that must not be changed.
func (c *Content) Pieces() [][]byte { return [][]byte{c.Trace, c.Header, crlf, c.Body()} }

// Size is the number of bytes of Pieces.
func (c *Content) Size() int64 {
	return int64(len(c.Trace) + len(c.Header) + len(crlf) + len(c.Body()))
}

// Body is the body of the message as taken. It must not be changed.
func (c *Content) Body() []byte {
	if c.wrapper != nil {
		return c.wrapper.Body
	}
	return c.shared
}

// Shared is the part that the journal records once for all messages that have it, and its SHA-256.
func (c *Content) Shared() ([]byte, [32]byte) {
	if c.wrapper != nil {
		return c.wrapper.Body, c.wrapper.Sum
	}
	return c.shared, sha256.Sum256(c.shared)
}

// wrap puts the shared part into w, which charges it to a.
func (c *Content) wrap(w *Wrappers, a Account) { c.wrapper, c.shared = w.Wrap(c.shared, a), nil }

// unwrap gives the reference on the shared part back. The content still reads the same.
func (c *Content) unwrap(w *Wrappers) { w.Unwrap(c.wrapper) }

// weigh is the bytes that the personal part takes. The door makes one allocation of it.
func (c *Content) weigh() int64 { return heapSize(len(c.Trace) + len(c.Header)) }
