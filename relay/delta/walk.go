package delta

import "bytes"

// walk goes over the parts of a message that have a transfer encoding (RFC 2045). It need not understand every message: what it
// does not find stays as it is. It looks at each byte a few times at most, whatever the message.
type walk struct {
	message  []byte
	at       int      // where a header begins; after next, where a body does
	fence    []byte   // the delimiter before that header, without its line end; nil: the header is the message's own
	encoding encoding // of the part that next found
}

type encoding byte

const (
	identity encoding = iota
	quotedPrintable
	base64
)

// next finds the next part that has an encoding. Meanwhile at may have been moved to the end of the last one.
func (w *walk) next() bool {
	if w.encoding != identity {
		w.delimiter()
	}
	for w.at < len(w.message) {
		if w.header(); w.encoding != identity {
			return true
		}
		w.delimiter()
	}
	return false
}

// header reads the lines of a header up to the empty one behind it. A text that is no header has no encoding.
func (w *walk) header() {
	w.encoding = identity
	for {
		n := bytes.IndexByte(w.message[w.at:], '\n')
		if n < 0 {
			w.at, w.encoding = len(w.message), identity
			return
		}
		line := w.message[w.at : w.at+n]
		w.at += n + 1
		switch {
		case len(line) <= 1:
			return
		case line[0] == '-' && line[1] == '-': // behind the last part of a part: the next one of the outer
			w.delimit(w.at - n - 1)
		default:
			w.encoding = max(w.encoding, encodingOf(line))
		}
	}
}

// field is the name of the header field that tells of an encoding.
const field = "content-transfer-encoding:"

// encodingOf is what one line of a header says about an encoding.
func encodingOf(line []byte) encoding {
	if len(line) <= len(field) || line[0]|0x20 != 'c' || line[8]|0x20 != 't' || !bytes.EqualFold(line[:len(field)], []byte(field)) {
		return identity
	}
	switch value := bytes.TrimSpace(line[len(field):]); {
	case bytes.EqualFold(value, []byte("quoted-printable")):
		return quotedPrintable
	case bytes.EqualFold(value, []byte("base64")):
		return base64
	}
	return identity
}

// delimiter goes on to the header behind the next line that begins with two dashes.
func (w *walk) delimiter() {
	for m := w.message; w.at < len(m); {
		n := bytes.IndexByte(m[w.at:], '\n') + 1
		if n == 0 {
			break
		}
		start := w.at
		w.at += n
		if n > 2 && m[start] == '-' && m[start+1] == '-' {
			w.delimit(start)
			return
		}
	}
	w.at = len(w.message)
}

// delimit takes the line that begins at start for the delimiter of the header behind it.
func (w *walk) delimit(start int) {
	n := bytes.IndexByte(w.message[start:], '\n')
	w.encoding, w.fence = identity, bytes.TrimRight(w.message[start:start+n], "\r")
}
