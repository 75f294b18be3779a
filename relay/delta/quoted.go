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

// quoted adds the part in quoted-printable that begins at start to the view without its soft line breaks (RFC 2045, section
// 6.7), if a coder breaks its lines at the same places, all but a few. It returns where the part ends.
func (v *viewer) quoted(start int, fence []byte) (end int) {
	v.plain(start)
	from := len(v.view)
	end, widest := v.unbreak(start, fence)
	if widest < narrowest || widest > 255 || end-start > mostStretch {
		v.view = v.view[:from]
		return end
	}
	if c, failed := v.breaker(from, byte(widest)); failed == 0 {
		v.stretch(c, from, end)
	} else {
		v.mixed(c, from, end)
	}
	return end
}

// unbreak adds lines of the message without soft line breaks up to the fence, or as far as it has seen that the part is too
// large. It notes the end of each line in the view, twice, and 1 more where the break is a hard one. widest is the length of the
// widest line that has a soft one.
func (v *viewer) unbreak(start int, fence []byte) (end, widest int) {
	v.ends = v.ends[:0]
	view, m := v.view, v.message[start:]
	for len(m) > 0 && len(v.message)-len(m)-start <= mostStretch {
		n := bytes.IndexByte(m, '\n') + 1
		if n == 0 || m[0] == '-' && len(fence) > 0 && bytes.HasPrefix(m, fence) {
			break
		}
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
	return len(v.message) - len(m), widest
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
		if l.start == l.end {
			ok = false // no stretch is empty
		} else if l.brokenBy(c) {
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
	out = grown(out, len(data)+len(data)/16)
	for len(data) > 0 {
		whole := bytes.IndexByte(data, '\n') + 1
		if whole == 0 {
			whole = len(data)
		}
		line := data[:lineSize(data[:whole])]
		for n := c.cut(line); n < len(line); n = c.cut(line) {
			out = append(out, line[:n]...)
			out = append(out, '=', '\r', '\n')
			line, data, whole = line[n:], data[n:], whole-n
		}
		out = append(out, data[:whole]...)
		data = data[whole:]
	}
	return out
}

// cut is how many bytes of line, which is what is left of a hard line, stand before the next soft break; all of them: there is
// none.
func (c coder) cut(line []byte) int {
	width := int(c.width)
	switch c.kind {
	case coderFill:
		return fill(line, width)
	case coderFillUTF8:
		return fillUTF8(line, width)
	case coderFillTail:
		if len(line) == width+1 && line[len(line)-3] != '=' {
			return len(line)
		}
		return fill(line, width)
	}
	return words(line, width)
}

// fill fills a line of width bytes. It does not cut "=E4" in pieces.
func fill(line []byte, width int) int {
	switch {
	case len(line) <= width:
		return len(line)
	case line[width-2] == '=':
		return width - 2
	case line[width-1] == '=':
		return width - 1
	}
	return width
}

// fillUTF8 fills a line of width bytes. It does not cut a character of several such bytes, as long as the first one says it is.
func fillUTF8(line []byte, width int) int {
	for i := max(min(len(line), width)-11, 0); i < min(len(line)-1, width); i++ {
		if line[i] == '=' && i+charSize(line[i+1]) > width {
			return i
		}
	}
	return fill(line, width)
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
