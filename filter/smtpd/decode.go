package smtpd

import "bytes"

// decoder undoes the dot-stuffing of DATA and makes line ends canonical. It is a state machine: any split of the input gives the same
// output. In the output each CR stands before an LF, each LF behind a CR, and there is no NUL, so nothing in it can be read as the end
// of a message by a server that is more liberal than we are.
//
// A bare LF becomes CRLF. A bare CR becomes a blank, as Postfix's cleanup_replace_stray_cr_lf makes it. NUL is removed, but what stood
// beside it is not read as if it had stood together: CRLF NUL "." CRLF ends nothing.
//
// A dot is undone at the beginning of a line behind CRLF. Behind a bare LF ".." is undone, because clients that end their lines with LF
// stuff them so, and a single "." is content, because whoever stuffs lines never sends it there. Postfix (3.7.11, with normalize) takes that
// dot away, and with it the line in which it stands alone; for all else but NUL, which it keeps, it has the same content as we have.
type decoder struct {
	strict bool // the session refuses a message with a fault
	dots   bool
	state  state
	found  string // the first fault
}

// state is what the decoder remembers of the bytes before.
type state uint8

const (
	lineStart state = iota // behind CRLF, or at the beginning
	bareStart              // behind a bare LF
	inLine
	heldCR     // CR, which is not in the output yet
	heldDot    // CRLF ".", and the dot is not in the output
	heldDotCR  // CRLF "." CR
	keptDot    // bare LF ".", and the dot is in the output
	endOfInput // CRLF "." CRLF
)

// Faults.
const (
	faultLF  = "bare LF"
	faultCR  = "bare CR"
	faultNUL = "NUL"
)

// newDecoder returns a decoder for DATA, whose content ends at CRLF "." CRLF, or without dots for BDAT, whose content never ends by
// itself. strict is for the caller alone: the reading is the same.
func newDecoder(dots, strict bool) decoder { return decoder{strict: strict, dots: dots} }

// fault is the first thing found that is not canonical, or "".
func (d *decoder) fault() string { return d.found }

// decode appends the decoded form of src to dst; n bytes of src were used; end reports that the end of the data was read. Then n may be
// less than len(src).
func (d *decoder) decode(dst, src []byte) (out []byte, n int, end bool) {
	for n < len(src) && d.state != endOfInput {
		if k := d.ordinary(src[n:]); k > 0 {
			dst = append(dst, src[n:n+k]...)
			if n += k; src[n-1] == '\n' {
				d.state = lineStart
			} else {
				d.state = inLine
			}
			continue
		}
		dst = d.step(dst, src[n])
		n++
	}
	return dst, n, d.state == endOfInput
}

// The windows bound how far ordinary looks ahead, so that its cost is in proportion to what it finds: the small one once a fault was
// found, because there may be one at every second byte.
const (
	window      = 2 << 10
	smallWindow = 128
)

// ordinary is how many bytes of src are content as they stand: text, and lines with their CRLF.
func (d *decoder) ordinary(src []byte) int {
	if c := src[0]; d.state > inLine || c == '\r' || c == '\n' || c == 0 {
		return 0
	}
	w := src[:min(len(src), window)]
	dot := d.dots && d.state != inLine
	if d.found == "" && bytes.IndexByte(w, 0) < 0 {
		n, lines := d.lines(w, dot)
		if bytes.Count(w[:n], lf) == lines {
			return n
		}
	}
	return d.line(w[:min(len(w), smallWindow)], dot)
}

var lf = []byte{'\n'}

// lines is how many bytes of w are text without bare CR, and how many CRLF are in them. dot says that a dot at the beginning is none of
// them.
func (d *decoder) lines(w []byte, dot bool) (n, lines int) {
	for n < len(w) && !(dot && w[n] == '.') {
		k := bytes.IndexByte(w[n:], '\r')
		if k < 0 {
			return len(w), lines
		}
		if n += k; n+1 == len(w) || w[n+1] != '\n' {
			return n, lines
		}
		n += 2
		lines++
		dot = d.dots
	}
	return n, lines
}

// line is lines for one line, and without bare LF and NUL.
func (d *decoder) line(w []byte, dot bool) int {
	if dot && w[0] == '.' {
		return 0
	}
	k := bytes.IndexByte(w, '\r')
	if k < 0 {
		k = len(w)
	}
	if special := firstOf(w[:k]); special >= 0 {
		return special
	}
	if k+1 < len(w) && w[k+1] == '\n' {
		k += 2
	}
	return k
}

// firstOf is where the first LF or NUL stands in b, or -1.
func firstOf(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
		if j := bytes.IndexByte(b, 0); j >= 0 {
			return j
		}
		return i
	}
	return bytes.IndexByte(b, 0)
}

// step reads one byte.
func (d *decoder) step(dst []byte, c byte) []byte {
	switch d.state {
	case lineStart:
		if d.dots && c == '.' {
			d.state = heldDot
			return dst
		}
	case bareStart:
		if d.dots && c == '.' {
			d.state = keptDot
			return append(dst, c)
		}
	case keptDot:
		if c == '.' {
			d.state = inLine
			return dst
		}
	case heldDot:
		if c == '\r' {
			d.state = heldDotCR
			return dst
		}
	case heldDotCR:
		if c == '\n' {
			d.state = endOfInput
			return dst
		}
		dst = d.bareCR(dst)
	case heldCR:
		if c == '\n' {
			d.state = lineStart
			return append(dst, '\r', '\n')
		}
		dst = d.bareCR(dst)
	}
	return d.text(dst, c)
}

// text reads a byte before which nothing is held.
func (d *decoder) text(dst []byte, c byte) []byte {
	switch c {
	case '\r':
		d.state = heldCR
		return dst
	case '\n':
		d.note(faultLF)
		d.state = bareStart
		return append(dst, '\r', '\n')
	case 0:
		d.note(faultNUL)
		d.state = inLine
		return dst
	}
	d.state = inLine
	return append(dst, c)
}

// bareCR writes what becomes of the CR that was held.
func (d *decoder) bareCR(dst []byte) []byte {
	d.note(faultCR)
	return append(dst, ' ')
}

func (d *decoder) note(fault string) {
	if d.found == "" {
		d.found = fault
	}
}

// finish is called behind the last chunk of BDAT. It appends what was held back, and a line end if the last line has none.
func (d *decoder) finish(dst []byte) []byte {
	switch d.state {
	case lineStart, bareStart, endOfInput:
		return dst
	case heldCR, heldDotCR:
		dst = d.bareCR(dst)
	}
	d.state = lineStart
	return append(dst, '\r', '\n')
}
