package smtp

import "bytes"

// stuff hands content to emit in order with a dot doubled at the start of each
// line (RFC 5321, 4.5.2), and a last CRLF if there is none. Nothing is copied: a
// dot is doubled by letting two slices overlap in it.
//
//	a CR LF . b   becomes   [a CR LF .] [. b]
//
// content has no bare LF, so an LF is always the end of a line. It stops at
// emit's first error and returns it.
func stuff(content [][]byte, f Form, emit func([]byte) error) error {
	lineStart := true
	for _, b := range content {
		if len(b) == 0 {
			continue
		}
		if f.Dots > 0 {
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
	if f.Traits.Has(Unfinished) {
		return emit(lineEnd)
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
