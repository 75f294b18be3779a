package delta

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math/bits"
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
	if c, ok := breaker(v.view[from:], from, v.soft, byte(widest)); ok {
		v.stretch(c, from, end)
	} else {
		v.mixed(from, end, byte(widest))
	}
	return end
}

// unbreak adds lines of the message without soft line breaks up to the fence, or as far as it has seen that the part is too
// large. It notes where in the view the soft breaks were. widest is the length of the widest line that has one.
func (v *viewer) unbreak(start int, fence []byte) (end, widest int) {
	m := v.message[start:]
	v.soft = v.soft[:0]
	at, from := 0, 0 // where a line begins, and what is not in the view yet
	for at < len(m) && at <= mostStretch && !isFence(m[at:], fence) {
		n := -1
		if from == at { // behind a soft break: there may be one more
			n = guess(m[at:], widest, fence)
		}
		if n < 0 {
			end := bytes.IndexByte(m[at:], '\n') + 1
			if end == 0 {
				break
			}
			if n = end - len(softBreak); n < 0 || !hasSoftBreak(m[at:], n) {
				at += end
				continue
			}
		}
		v.view = append(v.view, m[from:at+n]...)
		v.soft = append(v.soft, len(v.view))
		widest = max(widest, n)
		at += n + len(softBreak)
		from = at
	}
	v.view = append(v.view, m[from:at]...)
	return start + at, widest
}

// guess is how long a line is that is broken as the widest one before it, or a little earlier; -1: it is not. A hard line break
// may be in it, which the view has then as it is, but no fence: that may end as a soft break begins.
func guess(m []byte, widest int, fence []byte) int {
	for n := widest; n > widest-mostChar/2 && n > 0; n-- {
		if !hasSoftBreak(m, n) {
			continue
		}
		if len(fence) > 0 && fence[len(fence)-1] == '=' && bytes.HasSuffix(m[:n+1], fence) {
			break
		}
		return n
	}
	return -1
}

func isFence(line, fence []byte) bool {
	return line[0] == '-' && len(fence) > 0 && bytes.HasPrefix(line, fence)
}

func hasSoftBreak(m []byte, at int) bool {
	return len(m) >= at+len(softBreak) && m[at+2] == '\n' && m[at+1] == '\r' && m[at] == '='
}

const softBreak = "=\r\n"

// breakers are the coders that may have broken the lines of a part whose widest line with a soft break has that width.
func breakers(widest byte) [4]coder {
	return [...]coder{{coderFill, widest}, {coderFillUTF8, widest}, {coderFillTail, widest}, {coderWords, wordsWidth}}
}

// breaker finds the coder that breaks data, which begins at place at, at the places soft and nowhere else.
func breaker(data []byte, at int, soft []int, widest byte) (c coder, ok bool) {
	for _, c := range breakers(widest) {
		if c.breaks(data, at, soft) {
			return c, true
		}
	}
	return coder{}, false
}

// mixed adds what was added since from as stretches: hard lines that one coder breaks as they are, and between them others with the
// places of their soft breaks. Where there are too many places the whole part stays as it is.
func (v *viewer) mixed(from, end int, widest byte) {
	start := v.taken
	was, places, mark := len(v.stretches), len(v.places), v.mark
	c := v.best(from, widest)
	ok := true
	for l := (hardLine{view: v.view, end: from, rest: v.soft}); ok && l.next(); {
		if l.start == l.end {
			ok = false // no stretch is empty
		} else if l.brokenBy(c) {
			ok = v.extend(c, l)
		} else {
			ok = v.extend(coder{kind: coderPlaces}, l) && len(v.places)-places <= mostPlaces
		}
	}
	if !ok || !v.coding(from, v.stretches[was:], v.places[places:], v.message[start:end]) {
		v.view, v.stretches, v.places, v.mark = v.view[:from], v.stretches[:was], v.places[:places], mark
		return
	}
	v.taken = end
}

// best is the coder that breaks most hard lines of the view since from as they were broken.
func (v *viewer) best(from int, widest byte) (best coder) {
	fewest := 0
	for _, c := range breakers(widest) {
		failed := 0
		for l := (hardLine{view: v.view, end: from, rest: v.soft}); l.next(); {
			if !l.brokenBy(c) {
				failed++
			}
		}
		if best.kind == 0 || failed < fewest {
			best, fewest = c, failed
		}
	}
	return best
}

// coding reports whether list, the stretches of the view from there on, makes message.
func (v *viewer) coding(from int, list []stretch, places, message []byte) bool {
	for _, t := range list {
		out, ok := t.coder.code(v.join.coded[:0], v.view[from:from+t.size], places[:t.places])
		v.join.coded = out
		if !ok || !bytes.HasPrefix(message, out) {
			return false
		}
		from, places, message = from+t.size, places[t.places:], message[len(out):]
	}
	return len(message) == 0
}

// hardLine is a line of a part in the view, with its soft breaks.
type hardLine struct {
	view       []byte
	start, end int
	soft       []int // where in the view they are
	rest       []int // those of the lines behind
}

func (l *hardLine) next() bool {
	if l.start = l.end; l.start == len(l.view) && len(l.rest) == 0 {
		return false
	}
	n := bytes.IndexByte(l.view[l.start:], '\n') + 1
	if n == 0 {
		n = len(l.view) - l.start
	}
	l.end += n
	k := 0
	for k < len(l.rest) && (l.rest[k] < l.end || l.end == len(l.view)) {
		k++
	}
	l.soft, l.rest = l.rest[:k], l.rest[k:]
	return true
}

// brokenBy reports whether c puts the soft breaks where they are.
func (l *hardLine) brokenBy(c coder) bool {
	return c.breaks(l.view[l.start:l.end], l.start, l.soft)
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

// softBreaks are the places in data where c puts a soft break.
func (c coder) softBreaks(data []byte) iter.Seq[int] {
	cut, width := c.cutter(), int(c.width)
	return func(yield func(int) bool) {
		for at := 0; at < len(data); {
			end := bytes.IndexByte(data[at:], '\n') + 1
			if end += at; end == at {
				end = len(data)
			}
			line := data[at:end]
			line = line[:lineSize(line)]
			for n := cut(line, width); n < len(line); n = cut(line, width) {
				if at += n; !yield(at) {
					return
				}
				line = line[n:]
			}
			at = end
		}
	}
}

// breakLines appends data with soft breaks where c puts them.
func (c coder) breakLines(out, data []byte) []byte {
	out = grown(out, len(data)+len(data)/16)
	from := 0
	for at := range c.softBreaks(data) {
		out = append(append(out, data[from:at]...), softBreak...)
		from = at
	}
	return append(out, data[from:]...)
}

// breaks reports whether c breaks data, which begins at place at, at the places soft and nowhere else.
func (c coder) breaks(data []byte, at int, soft []int) bool {
	for n := range c.softBreaks(data) {
		if len(soft) == 0 || soft[0] != at+n {
			return false
		}
		soft = soft[1:]
	}
	return len(soft) == 0
}

// cutter returns what tells how many bytes of line, which is what is left of a hard line, stand before the next soft break; all of
// them: there is none.
func (c coder) cutter() func(line []byte, width int) int {
	switch c.kind {
	case coderFill:
		return fill
	case coderFillUTF8:
		return fillUTF8
	case coderFillTail:
		return fillTail
	}
	return words
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
	if len(line) > width {
		return fillChars(line, width)
	}
	for i := max(len(line)-mostChar+1, 0); i < len(line)-1; i++ {
		if line[i] == '=' && i+charSize(line[i+1]) > width {
			return i
		}
	}
	return len(line)
}

// fillChars does the same where line has more than width bytes.
func fillChars(line []byte, width int) int {
	const lead = mostChar - 1 - gram // where the last gram of a line begins in the bytes in which a character may begin
	at := width - lead - gram
	early := zeros(load(line, at)^'='*each) & (1<<(8*lead) - 1)
	late := zeros(load(line, at+lead) ^ '='*each)
	for ; early != 0; early &= early - 1 {
		if i := at + bits.TrailingZeros64(early)/8; line[i] == '=' && i+charSize(line[i+1]) > width {
			return i
		}
	}
	for ; late != 0; late &= late - 1 {
		if i := at + lead + bits.TrailingZeros64(late)/8; line[i] == '=' && i+charSize(line[i+1]) > width {
			return i
		}
	}
	return width
}

// fillTail fills a line of width bytes, but leaves a hard line whole that is one byte longer.
func fillTail(line []byte, width int) int {
	if len(line) == width+1 && line[len(line)-3] != '=' {
		return len(line)
	}
	return fill(line, width)
}

// mostChar is how many bytes of quoted-printable a UTF-8 character takes at most.
const mostChar = 12

// each has a 1 in each of its bytes.
const each = 0x0101010101010101

// zeros has a bit in each byte of g that is 0, and perhaps in others above the first.
func zeros(g uint64) uint64 { return (g - each) &^ g & (0x80 * each) }

// charSize is how many bytes of quoted-printable stand for the UTF-8 character whose first byte begins with this hex digit.
func charSize(digit byte) int { return max(3, int(charSizes[digit])) }

var charSizes = [256]byte{'C': 6, 'D': 6, 'E': 9, 'F': 12, 'c': 6, 'd': 6, 'e': 9, 'f': 12}

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

// countPlaces is how many soft breaks breakAt puts into n bytes.
func countPlaces(n int, places []byte) (breaks int, ok bool) {
	for ; len(places) > 0; breaks++ {
		next, k := binary.Uvarint(places)
		if k <= 0 || next > uint64(n) {
			return 0, false
		}
		n, places = n-int(next), places[k:]
	}
	return breaks, true
}
