package delta

import (
	"bytes"
	"encoding/binary"
)

// Bounds of quoted-printable.
const (
	narrowest  = 16 // a coder for narrower lines would make a message much larger than its view
	mostPlaces = 48 // soft line breaks that no rule explains, in one part
)

// quoted adds a part in quoted-printable to the view without its soft line breaks (RFC 2045, section 6.7), if a coder breaks its lines
// at the same places, all but a few.
func (v *viewer) quoted(start, end int) {
	end = start + bytes.LastIndexByte(v.message[start:end], '\n') + 1
	if start == end {
		return
	}
	v.plain(start)
	from := len(v.view)
	widest := v.unbreak(start, end)
	if widest < narrowest || widest > 255 {
		v.view = v.view[:from]
		return
	}
	if c, failed := v.breaker(from, byte(widest)); failed == 0 {
		v.stretch(c, from, end)
	} else {
		v.mixed(c, from, end)
	}
}

// unbreak adds a part of the message without its soft line breaks, and returns the length of its widest line that has one. It notes
// the end of each line in the view, twice, and 1 more where the break is a hard one.
func (v *viewer) unbreak(start, end int) (widest int) {
	v.ends = v.ends[:0]
	view := v.view
	for m := v.message[start:end]; len(m) > 0; {
		n := bytes.IndexByte(m, '\n') + 1
		if n >= 3 && m[n-2] == '\r' && m[n-3] == '=' {
			view = append(view, m[:n-3]...)
			widest = max(widest, n-3)
			v.ends = append(v.ends, len(view)<<1)
		} else {
			view = append(view, m[:n]...)
			v.ends = append(v.ends, len(view)<<1|1)
		}
		m = m[n:]
	}
	v.view = view
	return widest
}

// breaker finds the coder that breaks most hard lines of the view since from as they were broken, and tells how many it does not.
func (v *viewer) breaker(from int, widest byte) (best coder, failed int) {
	for _, c := range [...]coder{{coderFill, widest}, {coderFillUTF8, widest}, {coderFillTail, widest}, {coderWords, wordsWidth}} {
		n := 0
		for l := (hardLine{view: v.view, end: from, ends: v.ends}); l.next(); {
			if !l.brokenBy(c) {
				n++
			}
		}
		if best.kind == 0 || n < failed {
			best, failed = c, n
		}
		if failed == 0 {
			break
		}
	}
	return best, failed
}

// mixed adds what was added since from as stretches: hard lines that c breaks as they are, and between them others with the places
// of their soft breaks. Where there are too many places the whole part stays as it is.
func (v *viewer) mixed(c coder, from, end int) {
	was, places, mark := len(v.stretches), len(v.places), v.mark
	ok := true
	for l := (hardLine{view: v.view, end: from, ends: v.ends}); ok && l.next(); {
		if l.brokenBy(c) {
			ok = v.extend(c, l)
		} else {
			ok = v.extend(coder{kind: coderPlaces}, l) && len(v.places)-places <= mostPlaces
		}
	}
	if !ok {
		v.view, v.stretches, v.places, v.mark = v.view[:from], v.stretches[:was], v.places[:places], mark
		return
	}
	v.taken = end
}

// hardLine is a line of the view with its soft breaks.
type hardLine struct {
	view       []byte
	start, end int
	soft       []int // twice where in the view the soft breaks are
	ends       []int // of the lines behind
	open       bool  // nothing comes behind the last soft break
}

func (l *hardLine) next() bool {
	if len(l.ends) == 0 {
		return false
	}
	n := 0
	for l.ends[n]&1 == 0 && n < len(l.ends)-1 {
		n++
	}
	l.open = l.ends[n]&1 == 0
	l.start, l.end = l.end, l.ends[n]>>1
	l.soft, l.ends = l.ends[:n], l.ends[n+1:]
	return true
}

// brokenBy reports whether c puts the soft breaks where they are.
func (l *hardLine) brokenBy(c coder) bool {
	if l.open {
		return false
	}
	line := l.view[l.start:l.end]
	line = line[:lineSize(line)]
	p := l.start
	for _, end := range l.soft {
		n := c.cut(line)
		if n == len(line) || p+n != end>>1 {
			return false
		}
		line, p = line[n:], p+n
	}
	return c.cut(line) == len(line)
}

// lineSize is the length of a line without its line end.
func lineSize(line []byte) int {
	n := len(line)
	if n > 0 && line[n-1] == '\n' {
		n--
		if n > 0 && line[n-1] == '\r' {
			n--
		}
	}
	return n
}

// breakLines appends data with soft breaks where c puts them.
func (c coder) breakLines(out, data []byte) []byte {
	for len(data) > 0 {
		whole := bytes.IndexByte(data, '\n') + 1
		if whole == 0 {
			whole = len(data)
		}
		line := data[:lineSize(data[:whole])]
		for {
			n := c.cut(line)
			if n == len(line) {
				break
			}
			out = append(append(out, line[:n]...), "=\r\n"...)
			line, data, whole = line[n:], data[n:], whole-n
		}
		out = append(out, data[:whole]...)
		data = data[whole:]
	}
	return out
}

// cut is how many bytes of line, which is what is left of a hard line, stand before the next soft break; all of them: there is none.
func (c coder) cut(line []byte) int {
	width := int(c.width)
	switch c.kind {
	case coderFill:
		return fill(line, width, 3)
	case coderFillUTF8:
		return fill(line, width, 12)
	case coderFillTail:
		if len(line) == width+1 && line[len(line)-3] != '=' {
			return len(line)
		}
		return fill(line, width, 3)
	}
	return words(line, width)
}

// fill fills a line of width bytes. It does not cut "=E4" in pieces, nor, where widest is 12, a character of several such bytes in
// UTF-8.
func fill(line []byte, width, widest int) int {
	if len(line) <= width && widest == 3 {
		return len(line)
	}
	n := min(len(line), width)
	for i := max(n-widest+1, 0); i < n; i++ {
		if line[i] == '=' && i+1 < len(line) && i+min(widest, charSize(line[i+1])) > width {
			return i
		}
	}
	return n
}

// charSize is how many bytes of quoted-printable stand for the UTF-8 character whose first byte begins with this hex digit.
func charSize(digit byte) int {
	switch digit {
	case 'C', 'D', 'c', 'd':
		return 6
	case 'E', 'e':
		return 9
	case 'F', 'f':
		return 12
	}
	return 3
}

// wordsWidth is the width of the mailers that break lines between words.
const wordsWidth = 76

// words breaks a line behind a word, if one ends in its last third.
func words(line []byte, width int) int {
	if len(line)+2 <= width {
		return len(line)
	}
	n := min(len(line), width)
	for i := n - 1; i >= max(0, min(width, len(line)+1)-width/3); i-- {
		switch line[i] {
		case ' ', '\t', '.', ',', '!', '?':
			return min(i+1, width-1)
		}
	}
	return wholeChars(line, n, width)
}

// wholeChars cuts n bytes of line, or a few less in order not to cut a character.
func wholeChars(line []byte, n, width int) int {
	for i := n - 2; i < n; i++ {
		if line[i] == '=' {
			n = i
		}
	}
	for n > 3 && line[n-3] == '=' && line[n-2] >= '8' {
		n -= 3
		if line[n+1] >= 'C' {
			break
		}
	}
	if n == width {
		n--
	}
	return n
}

// breakAt appends data with soft breaks at places, each counted from the last.
func breakAt(out, data, places []byte) (all []byte, ok bool) {
	for len(places) > 0 {
		n, k := binary.Uvarint(places)
		if k <= 0 || n > uint64(len(data)) {
			return out, false
		}
		out = append(append(out, data[:n]...), "=\r\n"...)
		data, places = data[n:], places[k:]
	}
	return append(out, data...), true
}
