package smtp

import (
	"bytes"
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

// Sendable reports the first kind of fault, of those above, for which a message
// cannot be carried over DATA byte for byte by every receiver; nil when there
// is none. content is a message in slices that may be cut anywhere.
//
// [Conn.Deliver] itself refuses only bare CR and LF: a receiver that takes them
// for a line's end would see commands in the text of a mail (RFC 5321, 2.3.8).
func Sendable(content [][]byte) error {
	if _, err := inspect(content); err != nil {
		return err
	}
	line := 0 // bytes of the current line, with its CR
	for _, b := range content {
		if bytes.IndexByte(b, 0) >= 0 {
			return ErrNUL
		}
		for {
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				break
			}
			if line+i > maxTextLine+1 {
				return ErrLongLine
			}
			line, b = 0, b[i+1:]
		}
		line += len(b)
	}
	if line > maxTextLine {
		return ErrLongLine
	}
	return nil
}

// form holds the facts about a message that must be known before its first byte
// is written.
type form struct {
	size       int64 // bytes, as they are
	dots       int64 // lines that begin with a dot
	unfinished bool  // the last line has no CRLF
}

// wire is how many bytes go out up to and including the end of data.
func (f form) wire() int64 {
	n := f.size + f.dots + int64(len(".\r\n"))
	if f.unfinished {
		n += int64(len("\r\n"))
	}
	return n
}

// inspect walks over the line ends. Each LF found has a CR of its own before
// it, so a bare CR shows as a count of CRs higher than that of LFs, which saves
// looking at the bytes between.
func inspect(content [][]byte) (form, error) {
	var f form
	var crs, lfs int
	last := byte('\n') // the byte before the slice; a message begins a line
	for _, b := range content {
		if len(b) == 0 {
			continue
		}
		if last == '\n' && b[0] == '.' {
			f.dots++
		}
		n, dots, ok := lineEnds(b, last)
		if !ok {
			return f, ErrBareLF
		}
		f.size += int64(len(b))
		f.dots += dots
		lfs += n
		crs += bytes.Count(b, []byte{'\r'})
		last = b[len(b)-1]
	}
	if crs != lfs {
		return f, ErrBareCR
	}
	f.unfinished = last != '\n'
	return f, nil
}

// lineEnds counts the LFs of b and the dots that follow one inside b. It is
// false when an LF is bare; last is the byte before b.
func lineEnds(b []byte, last byte) (lfs int, dots int64, ok bool) {
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return lfs, dots, true
		}
		j += i
		if j > 0 {
			last = b[j-1]
		}
		if last != '\r' {
			return lfs, dots, false
		}
		lfs++
		i = j + 1
		if i < len(b) && b[i] == '.' {
			dots++
		}
	}
}

// stuff hands content to emit in order with a dot doubled at the start of each
// line (RFC 5321, 4.5.2), and a last CRLF if there is none. Nothing is copied: a
// dot is doubled by letting two slices overlap in it.
//
//	a CR LF . b   becomes   [a CR LF .] [. b]
//
// content has passed inspect, so an LF is always the end of a line. It stops at
// emit's first error and returns it.
func stuff(content [][]byte, f form, emit func([]byte) error) error {
	lineStart := true
	for _, b := range content {
		if len(b) == 0 {
			continue
		}
		if f.dots > 0 {
			rest, err := doubleDots(b, lineStart, emit)
			if err != nil {
				return err
			}
			lineStart = b[len(b)-1] == '\n'
			b = rest
		}
		if err := emit(b); err != nil {
			return err
		}
	}
	if f.unfinished {
		return emit([]byte("\r\n"))
	}
	return nil
}

// doubleDots emits b up to and including the first of the last pair of dots and
// returns the rest, which begins with the second.
func doubleDots(b []byte, lineStart bool, emit func([]byte) error) ([]byte, error) {
	if lineStart && b[0] == '.' {
		if err := emit(b[:1]); err != nil {
			return nil, err
		}
	}
	for {
		i := bytes.Index(b, []byte("\n."))
		if i < 0 {
			return b, nil
		}
		if err := emit(b[:i+2]); err != nil {
			return nil, err
		}
		b = b[i+1:]
	}
}
