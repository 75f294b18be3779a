package relay

import (
	"bytes"

	"github.com/millrace/millrace/relay/delta"
	"github.com/millrace/millrace/relay/smtp"
)

// Content is the bytes of one message. Until Accept divides it, a Content holds the message as it was taken; from then on it has
// a part of its own, and a Wrapper with what many messages of a campaign have in common. Only Content knows how the two make up the
// message. The wire asks for Pieces; the journal records the Wrapper once and Part for each message, and gives both back after a
// crash; a merge makes contents from a Wrapper without ever having a whole message.
type Content struct {
	letter  *Letter // nil once the message is divided
	facts   Facts
	part    []byte
	wrapper *Wrapper // nil until the message is divided
}

// Letter is a message as a door took it, byte for byte.
type Letter struct {
	Trace  []byte // our own Received field (RFC 5321 section 4.4), CRLF at the end
	Header []byte // without the empty line that ends it
	Body   []byte

	// Form is that of all three with the empty line, if the door has found it while it read the message. The zero Form is not known.
	Form smtp.Form
}

// Facts are what must be known of a message's bytes before the first of them is sent, without their number. The journal keeps
// them, so that a recovery need not look at every byte again.
type Facts uint64

// factsKnown: all of them are known. Without it only EightBitFacts may be set.
const factsKnown Facts = 1

// Where the traits of a Form stand, and its dots.
const (
	traitsShift = 1
	dotsShift   = 9
)

// EightBitFacts says of a message that it has 8-bit bytes, and no more: so a record of an older format has it.
const EightBitFacts = Facts(smtp.EightBit) << traitsShift

// factsOf are the facts of f.
func factsOf(f smtp.Form) Facts {
	return factsKnown | Facts(f.Traits)<<traitsShift | Facts(f.Dots)<<dotsShift
}

// form is the form of a message of that many bytes.
func (f Facts) form(size int64) smtp.Form {
	traits := smtp.Traits(f >> traitsShift)
	if f&factsKnown == 0 {
		return smtp.Form{Traits: traits}
	}
	return smtp.Form{Size: size, Dots: uint32(f >> dotsShift), Traits: traits}
}

// NewContent returns the content of a message that is not divided yet. Until it is, the caller must not change its bytes.
func NewContent(l Letter) Content {
	if l.Form == (smtp.Form{}) {
		l.Form = smtp.FormOf(l.pieces())
	}
	return Content{letter: &l, facts: factsOf(l.Form)}
}

// Content returns the content of one more message that has the shared part w. It takes no reference: only a Wrappers counts
// those. It keeps part.
func (w *Wrapper) Content(part []byte, facts Facts) Content {
	return Content{facts: facts, part: part, wrapper: w}
}

// Behind returns the content that consists of head and, behind it, all of w: its view begins with the empty line. So messages are
// that were recorded before they were divided.
func (w *Wrapper) Behind(head []byte, facts Facts) Content {
	return w.Content(delta.Behind(head, len(w.view)), facts)
}

// Facts are those of the message.
func (c *Content) Facts() Facts { return c.facts }

// Form is the form of the message. When not all of it is known, as of a message from a record of an older format, its Size is 0.
func (c *Content) Form() smtp.Form { return c.facts.form(c.Size()) }

// Letter is the message as it was taken, nil once it is divided.
func (c *Content) Letter() *Letter { return c.letter }

var crlf = []byte("\r\n")

// pieces are the bytes of l.
func (l *Letter) pieces() [][]byte { return [][]byte{l.Trace, l.Header, crlf, l.Body} }

// Pieces returns the bytes of the message, in pieces that must not be changed; none when they cannot be put together, see Assembly.
func (c *Content) Pieces() [][]byte {
	pieces, _ := new(Assembly).Pieces(c) // whoever sends the message is told
	return pieces
}

// Assembly is memory in which one message after the other is put together for the wire.
type Assembly struct{ scratch delta.Scratch }

// Pieces returns the bytes of c in pieces that must not be changed. They are valid until the next call. An error says that part and
// wrapper do not make a message. They did when it was divided, and were checked when it was restored, so that memory was damaged
// since.
func (a *Assembly) Pieces(c *Content) ([][]byte, error) {
	switch {
	case c.letter != nil:
		return c.letter.pieces(), nil
	case c.wrapper == nil:
		return nil, nil
	}
	return delta.Join(c.wrapper.view, c.part, int(c.Size()), &a.scratch)
}

// Check reports why the part of c does not fit its wrapper, nil if it does. Whoever has read them from a disk asks before Pieces.
func (a *Assembly) Check(c *Content) error { return delta.Fits(c.wrapper.view, c.part, &a.scratch) }

// Empty returns a, which keeps nothing of the message that it was used for.
func (a *Assembly) Empty() *Assembly {
	a.scratch.Forget()
	return a
}

// Size is the number of bytes of Pieces.
func (c *Content) Size() int64 {
	switch {
	case c.letter != nil:
		return c.letter.Form.Size
	case c.wrapper == nil:
		return 0
	}
	n, _ := delta.Size(c.part) // 0: Pieces gives the error
	return int64(n)
}

// Head is what stands before the empty line: our own Received field and the header as taken. It must not be changed. Head and Body
// are empty when the message cannot be put together.
func (c *Content) Head() []byte {
	if c.letter != nil {
		return append(bytes.Clone(c.letter.Trace), c.letter.Header...)
	}
	head, _ := c.cut()
	return head
}

// Body is the body of the message as taken. It must not be changed.
func (c *Content) Body() []byte {
	if c.letter != nil {
		return c.letter.Body
	}
	_, body := c.cut()
	return body
}

// cut cuts a divided message at its empty line.
func (c *Content) cut() (head, body []byte) {
	whole := bytes.Join(c.Pieces(), nil)
	i := bytes.Index(whole, []byte("\r\n\r\n"))
	switch {
	case bytes.HasPrefix(whole, crlf):
		return nil, whole[len(crlf):]
	case i < 0:
		return whole, nil
	}
	return whole[:i+len(crlf)], whole[i+2*len(crlf):]
}

// Part is what the journal records of a divided message beside its Wrapper.
func (c *Content) Part() []byte { return c.part }

// Wrapper holds the shared part of a divided message. It is nil before.
func (c *Content) Wrapper() *Wrapper { return c.wrapper }

// weigh is the bytes that the message's own part takes.
func (c *Content) weigh() int64 { return heapSize(len(c.part)) }
