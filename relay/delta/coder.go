package delta

// coder turns a stretch of a view back into what stands in the message.
type coder struct {
	kind  byte
	width byte // of its lines; base64: a quarter of it
}

// The kinds of coder. The numbers stand in parts that are kept, so that none may ever get another meaning.
const (
	coderBase64   = 1 // base64 in lines
	coderFill     = 2 // soft breaks: a line is filled before the next begins
	coderFillUTF8 = 3 // soft breaks: the same, and a UTF-8 character is not cut
	coderFillTail = 4 // soft breaks: as coderFill, but a hard line's last character may take the place of the soft break
	coderWords    = 5 // soft breaks: between words where there is one
	coderPlaces   = 6 // soft breaks: at places that the part names
)

// valid reports whether Join can use the coder: one that a program of a later day wrote may be unknown.
func (c coder) valid() bool {
	switch c.kind {
	case coderBase64:
		return c.width > 0
	case coderFill, coderFillUTF8, coderFillTail, coderWords:
		return c.width >= narrowest
	}
	return c.kind == coderPlaces
}

// code appends what data is in the message. ok is false for places that data does not have.
func (c coder) code(out, data, places []byte) (all []byte, ok bool) {
	switch c.kind {
	case coderBase64:
		return encodeLines(out, data, int(c.width)), true
	case coderPlaces:
		return breakAt(out, data, places)
	}
	return c.breakLines(out, data), true
}

// size is how many bytes code appends for n bytes of data. For base64 their number is enough.
func (c coder) size(n int, data, places []byte) (size int, ok bool) {
	switch c.kind {
	case coderBase64:
		return linesSize(n, int(c.width)), true
	case coderPlaces:
		breaks, ok := countPlaces(n, places)
		return n + breaks*len(softBreak), ok
	}
	for range c.softBreaks(data) {
		n += len(softBreak)
	}
	return n, true
}
