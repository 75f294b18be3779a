package smtp

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Why a message cannot be sent as it is over DATA.
var (
	// ErrBareLF is returned when an LF does not follow a CR.
	ErrBareLF = errors.New("content has a bare LF")
	// ErrBareCR is returned when a CR is not followed by an LF.
	ErrBareCR = errors.New("content has a bare CR")
	// ErrNUL is returned when there is a NUL byte.
	ErrNUL = errors.New("content has a NUL byte")
	// ErrLongLine is returned when a line is longer than 998 bytes without its CRLF.
	ErrLongLine = errors.New("content has a line over 998 bytes")
)

// maxTextLine is RFC 5321, 4.5.3.1.6 without the CRLF.
const maxTextLine = 998

// Form holds the facts about a message's bytes that must be known before the first of them is sent. It is made by a Walk,
// once, and can be kept with the message. The zero Form is that of an empty message, and stands for "not known" too: to find
// it again costs nothing.
type Form struct {
	Size   int64  // bytes, as they are
	Dots   uint32 // lines that begin with a dot: each is one byte longer over DATA
	Traits Traits
}

// Traits are the facts of a Form that are either true or not.
type Traits uint8

// The traits.
const (
	Unfinished Traits = 1 << iota // the last line has no CRLF
	EightBit                      // a byte is over 127
	HasNUL                        // a byte is 0
	BareLF                        // an LF does not follow a CR
	BareCR                        // a CR is not followed by an LF
	LongLine                      // a line has more than 998 bytes without its CRLF
)

// Has reports whether t has one of the traits in which.
func (t Traits) Has(which Traits) bool { return t&which != 0 }

// Sendable reports the first kind of fault, of those above, for which the message
// cannot be carried over DATA byte for byte by every receiver; nil when there
// is none.
//
// [Conn.Deliver] itself refuses only bare CR and LF: a receiver that takes them
// for a line's end would see commands in the text of a mail (RFC 5321, 2.3.8).
func (f Form) Sendable() error {
	switch err := f.smuggles(); {
	case err != nil:
		return err
	case f.Traits.Has(HasNUL):
		return ErrNUL
	case f.Traits.Has(LongLine):
		return ErrLongLine
	}
	return nil
}

// smuggles reports the bare CR or LF for which the message must not leave.
func (f Form) smuggles() error {
	switch {
	case f.Traits.Has(BareLF):
		return ErrBareLF
	case f.Traits.Has(BareCR):
		return ErrBareCR
	}
	return nil
}

// wire is how many bytes go out over DATA up to and including the end of data.
func (f Form) wire() int64 {
	n := f.Size + int64(f.Dots) + int64(len(".\r\n"))
	if f.Traits.Has(Unfinished) {
		n += int64(len("\r\n"))
	}
	return n
}

// FormOf returns the form of a message in slices that may be cut anywhere.
func FormOf(content [][]byte) Form {
	var w Walk
	for _, b := range content {
		w.add(b)
	}
	return w.Form()
}

// Walk goes once over the bytes of a message as they arrive and finds its Form. The zero Walk stands at the message's
// beginning.
type Walk struct {
	form Form // but for Unfinished and BareCR, which the end decides
	bare int  // CRs that no LF has followed
	line int  // bytes of the current line so far, with its CR
	last byte // the byte before
}

// stride is how many bytes the walk looks at in turn for one fact after the other. They stay in the processor's first cache.
const stride = 8 << 10

// Write takes the next bytes of the message, cut anywhere. It never fails.
func (w *Walk) Write(p []byte) (int, error) {
	w.add(p)
	return len(p), nil
}

// Form returns the form of the bytes so far.
func (w *Walk) Form() Form {
	f := w.form
	if w.bare > 0 {
		f.Traits |= BareCR
	}
	if w.line > 0 {
		f.Traits |= Unfinished
	}
	if w.line > maxTextLine {
		f.Traits |= LongLine
	}
	return f
}

func (w *Walk) add(p []byte) {
	w.form.Size += int64(len(p))
	for len(p) > 0 {
		b := p[:min(len(p), stride)]
		w.lines(b)
		w.form.Traits |= octets(b)
		w.last = b[len(b)-1]
		p = p[len(b):]
	}
}

// lines walks over the line ends of b. CRs are counted, not looked for: those that are more than the LFs behind one are bare.
func (w *Walk) lines(b []byte) {
	w.bare += bytes.Count(b, []byte{'\r'})
	if w.line == 0 && b[0] == '.' {
		w.form.Dots++
	}
	for before := w.last; ; {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			w.line += len(b)
			return
		}
		if i > 0 {
			before = b[i-1]
		}
		if before != '\r' {
			w.form.Traits |= BareLF
		} else {
			w.bare--
		}
		if w.line+i > maxTextLine+1 {
			w.form.Traits |= LongLine
		}
		w.line, before, b = 0, '\n', b[i+1:]
		if len(b) > 0 && b[0] == '.' {
			w.form.Dots++
		}
	}
}

// octets finds out whether b has zeros, and bytes over 127.
func octets(b []byte) Traits {
	var t Traits
	if bytes.IndexByte(b, 0) >= 0 {
		t |= HasNUL
	}
	if hasHigh(b) {
		t |= EightBit
	}
	return t
}

// hasHigh looks at eight words at a time, without a branch for each.
func hasHigh(b []byte) bool {
	var all uint64
	for ; len(b) >= 64; b = b[64:] {
		all |= word(b) | word(b[8:]) | word(b[16:]) | word(b[24:]) | word(b[32:]) | word(b[40:]) | word(b[48:]) | word(b[56:])
	}
	for _, c := range b {
		all |= uint64(c)
	}
	return all&0x8080808080808080 != 0
}

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
