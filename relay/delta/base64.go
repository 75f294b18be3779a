package delta

import (
	"bytes"
	"encoding/binary"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// pairs gives twelve bits for two base64 characters, as they lie in memory. The highest bit stands for what is not base64.
var pairs = func() *[1 << 16]uint16 {
	t := new([1 << 16]uint16)
	for i := range t {
		t[i] = notBase64
	}
	for i, pair := range duads {
		t[pair] = uint16(i)
	}
	return t
}()

const notBase64 = 1 << 15

// duads gives two base64 characters for twelve bits, in the order in which they lie in memory.
var duads = func() (t [4096]uint16) {
	for i := range t {
		t[i] = uint16(alphabet[i>>6]) | uint16(alphabet[i&63])<<8
	}
	return t
}()

// base64 adds the part in base64 that begins at start to the view: as many lines as there are of one width, and a shorter one
// behind them. It returns where the last of them ends.
func (v *viewer) base64(start int) (end int) {
	m := v.message[start:min(len(v.message), start+mostStretch+1)]
	width := bytes.IndexByte(m[:min(len(m), mostWidth+2)], '\n') - 1
	if width < 4 || width%4 != 0 {
		return start
	}
	v.plain(start)
	from := len(v.view)
	v.view = grown(v.view, len(v.message)-start+slack)
	m = v.lines(m, width)
	if len(v.view) == from {
		return start
	}
	end = start + (min(len(v.message)-start, mostStretch+1) - len(m))
	if end-start > mostStretch-width {
		v.view = v.view[:from]
	} else {
		v.stretch(coder{kind: coderBase64, width: byte(width / 4)}, from, end)
	}
	return end
}

// mostWidth is the longest line of base64 that a coder can have.
const mostWidth = 4 * 255

// lines adds lines of the same width, and a shorter one, and returns what is behind them.
func (v *viewer) lines(m []byte, width int) []byte {
	for len(m) >= width+2 && m[width] == '\r' && m[width+1] == '\n' {
		n, padded := v.decoded(m[:width])
		if n == 0 {
			return m
		}
		m = m[width+2:]
		if padded {
			return m
		}
	}
	n := bytes.IndexByte(m[:min(len(m), width+1)], '\n') - 1
	if n < 4 || n%4 != 0 || m[n] != '\r' {
		return m
	}
	if k, _ := v.decoded(m[:n]); k == 0 {
		return m
	}
	return m[n+2:]
}

// decoded adds a line of base64.
func (v *viewer) decoded(line []byte) (n int, padded bool) {
	at := len(v.view)
	n, padded = decode(v.view[at:cap(v.view)], line)
	v.view = v.view[:at+n]
	return n, padded
}

// decode decodes line, whose length divides by four, into dst, which has slack, and returns the number of bytes: 0 if an encoder
// would write line in another way. padded says that no line can follow it.
func decode(dst, line []byte) (n int, padded bool) {
	if line[len(line)-1] == '=' {
		return decodePadded(dst, line)
	}
	n, ok := decodeQuads(dst, line)
	if !ok {
		n = 0
	}
	return n, false
}

// decodeQuads decodes line, whose length divides by four, into dst, which has slack. ok says that all of it is base64 without
// padding.
func decodeQuads(dst, line []byte) (n int, ok bool) {
	bad := uint16(0)
	for len(line) >= 8 && len(dst) >= n+8 {
		b, c, d, e := pairAt(line, 0), pairAt(line, 2), pairAt(line, 4), pairAt(line, 6)
		bad |= b | c | d | e
		binary.BigEndian.PutUint64(dst[n:n+8:n+8], uint64(b)<<52|uint64(c)<<40|uint64(d)<<28|uint64(e)<<16)
		n, line = n+6, line[8:]
	}
	for len(line) >= 4 {
		b, c := pairAt(line, 0), pairAt(line, 2)
		bad |= b | c
		binary.BigEndian.PutUint32(dst[n:], uint32(b)<<20|uint32(c)<<8)
		n, line = n+3, line[4:]
	}
	return n, bad < notBase64
}

func pairAt(line []byte, at int) uint16 { return pairs[binary.LittleEndian.Uint16(line[at:at+2:at+2])] }

// decodePadded decodes a line that ends in one or two equal signs.
func decodePadded(dst, line []byte) (n int, padded bool) {
	last := line[len(line)-4:]
	short := 1
	if last[2] == '=' {
		short = 2
	}
	quad := [4]byte{last[0], last[1], last[2], 'A'}
	if short == 2 {
		quad[2] = 'A'
	}
	if len(line) > 4 {
		if n, padded = decode(dst, line[:len(line)-4]); n == 0 || padded {
			return 0, false
		}
	}
	tail := dst[n : n+4]
	if k, _ := decode(tail, quad[:]); k == 0 || tail[2] != 0 || short == 2 && tail[1] != 0 {
		return 0, false // not base64, or bits that no encoder leaves
	}
	return n + 3 - short, true
}

// encodeLines appends data in base64, in lines of 4×quads characters.
func encodeLines(out, data []byte, quads int) []byte {
	out = grown(out, linesSize(len(data), quads))
	for len(data) > 0 {
		n := min(3*quads, len(data))
		out = encode(out, data[:n])
		out = append(out, '\r', '\n')
		data = data[n:]
	}
	return out
}

// linesSize is how many bytes n bytes take in such lines.
func linesSize(n, quads int) int {
	lines := (n + 3*quads - 1) / (3 * quads)
	return (n+2)/3*4 + 2*lines
}

// encode appends data in base64. out has room.
func encode(out, data []byte) []byte {
	at := len(out)
	out = out[:at+(len(data)+2)/3*4]
	to := out[at:]
	for len(data) >= 8 && len(to) >= 8 {
		x := binary.BigEndian.Uint64(data)
		low := uint64(duads[x>>52]) | uint64(duads[x>>40&4095])<<16
		high := uint64(duads[x>>28&4095]) | uint64(duads[x>>16&4095])<<16
		binary.LittleEndian.PutUint64(to, low|high<<32)
		to, data = to[8:], data[6:]
	}
	for len(data) >= 3 {
		x := uint32(data[0])<<16 | uint32(data[1])<<8 | uint32(data[2])
		binary.LittleEndian.PutUint32(to, uint32(duads[x>>12])|uint32(duads[x&4095])<<16)
		to, data = to[4:], data[3:]
	}
	switch len(data) {
	case 1:
		x := uint32(data[0]) << 4
		copy(to, []byte{alphabet[x>>6], alphabet[x&63], '=', '='})
	case 2:
		x := uint32(data[0])<<10 | uint32(data[1])<<2
		copy(to, []byte{alphabet[x>>12], alphabet[x>>6&63], alphabet[x&63], '='})
	}
	return out
}
