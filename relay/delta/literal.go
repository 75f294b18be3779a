package delta

import "slices"

// charset is an alphabet of 16 or 64 characters. What is written in it takes 4 or 6 bits a character in a part.
type charset struct {
	chars string
	bits  int
	least int // a shorter run is not worth it
}

// charsets are those that packed literals name by number; the numbers never change.
var charsets = [...]charset{
	{"0123456789abcdef", 4, 8},
	{"0123456789ABCDEF", 4, 8},
	{alphabet, 6, 13},
	{alphabet[:62] + "-_", 6, 13},
}

// packedBase64 is the number of the charset of base64.
const packedBase64 = 2

// What else a packed literal may end with, numbered on.
const (
	packedUUID  = 4 // 36 characters: 32 lower case hex digits and four dashes
	packedPiece = 5 // bytes of the earlier literals
)

const (
	sizeUUID   = 36
	mostPrefix = 31 // bytes before a packed run in the same literal
	leastHex   = 16 // so many hex digits are packed apart from what stands around them
	leastPiece = 8
)

// members has, for each byte, a bit for each charset that it is in; values has its number in each, plus one.
var members, values = func() (m [256]byte, v [len(charsets)][256]byte) {
	for i, s := range charsets {
		for n := range len(s.chars) {
			m[s.chars[n]] |= 1 << i
			v[i][s.chars[n]] = byte(n) + 1
		}
	}
	return m, v
}()

// literal is a run of bytes that a part has in full: some as they are, and behind them some that are packed.
type literal struct {
	bytes  []byte
	prefix int  // bytes as they are
	pack   int8 // charset of those behind, packedUUID or packedPiece; unpacked: there are none; repeated: all comes again
	back   int  // of a piece: how far before the end of the text of the earlier literals it begins; repeated: which of the last ones
}

const (
	unpacked = -1
	repeated = -2
)

// first is the first literal of b, and what is behind it.
func (w *written) first(b []byte) (l literal, rest []byte) {
	if i := w.recent(b); i >= 0 {
		return literal{b, 0, repeated, i}, nil
	}
	if len(b) < leastPiece { // too short for any run
		return literal{b, len(b), unpacked, 0}, nil
	}
	tried := 0 // bytes that no run begins with
	for i := range b {
		if at, n := w.find(b[i:]); n >= leastPiece {
			return upTo(b, literal{prefix: i, pack: packedPiece, back: len(w.bytes) - at}, n)
		}
		if isUUID(b[i:]) {
			return upTo(b, literal{prefix: i, pack: packedUUID}, sizeUUID)
		}
		if i < tried {
			continue
		}
		n, set := run(b[i:])
		if n > 0 && n >= charsets[set].least {
			return upTo(b, literal{prefix: i, pack: int8(set)}, n)
		}
		if i+n == len(b) || members[b[i+n]] == 0 {
			tried = i + n
		}
	}
	return literal{b, len(b), unpacked, 0}, nil
}

// upTo cuts the literal l, which packs n bytes, from b; a prefix that is too long comes alone.
func upTo(b []byte, l literal, n int) (literal, []byte) {
	if l.prefix > mostPrefix {
		return literal{b[:l.prefix], l.prefix, unpacked, 0}, b[l.prefix:]
	}
	l.bytes = b[:l.prefix+n]
	return l, b[l.prefix+n:]
}

// run is how many bytes at the beginning of b one charset has, and which. It ends where many hex digits begin or end.
func run(b []byte) (n, set int) {
	b = b[:min(len(b), mostLiteral-mostPrefix)]
	in := byte(0xff)
	hex := 0
	for ; n < len(b); n++ {
		m := members[b[n]]
		if in&m == 0 || hex >= leastHex && m&1 == 0 {
			break
		}
		hex = (hex + 1) & -int(m&1) // 0 again behind the last digit
		in &= m
	}
	for in&1 == 0 && in != 0 {
		in >>= 1
		set++
	}
	if hex >= leastHex && hex < n {
		n -= hex
	}
	return n, set
}

func isUUID(b []byte) bool {
	if len(b) < sizeUUID || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return false
	}
	for i, c := range b[:sizeUUID] {
		if members[c]&1 == 0 && i != 8 && i != 13 && i != 18 && i != 23 {
			return false
		}
	}
	return true
}

// pack appends b, all of one charset, in as few bits as it needs.
func pack(out, b []byte, set int8) []byte {
	if set == packedUUID {
		for _, half := range [...][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, 36}} {
			out = pack(out, b[half[0]:half[1]], 0)
		}
		return out
	}
	out, b = packWhole(out, b, set)
	bits := charsets[set].bits
	word, filled := 0, 0
	for _, c := range b {
		word, filled = word<<bits|int(values[set][c]-1), filled+bits
		if filled >= 8 {
			filled -= 8
			out = append(out, byte(word>>filled))
		}
	}
	if filled > 0 {
		out = append(out, byte(word<<(8-filled)))
	}
	return out
}

// packWhole does so with what fills whole bytes, where that is faster, and returns what is left.
func packWhole(out, b []byte, set int8) (all, rest []byte) {
	switch v := &values[set]; {
	case set == packedBase64: // as in a message
		at, whole := len(out), len(b)/4*4
		out = slices.Grow(out, len(b)+slack)
		n, _ := decodeQuads(out[at:cap(out)], b[:whole])
		return out[:at+n], b[whole:]
	case charsets[set].bits == 4:
		for ; len(b) >= 2; b = b[2:] {
			out = append(out, (v[b[0]]-1)<<4|(v[b[1]]-1))
		}
	}
	return out, b
}

// packedSize is how many bytes n characters take.
func packedSize(n, set int) int { return (n*charsets[set].bits + 7) / 8 }

// unpack appends n characters. b is as long as packedSize says.
func unpack(out, b []byte, n, set int) []byte {
	s := &charsets[set]
	switch {
	case set == packedBase64:
		whole := n / 4
		out = encode(slices.Grow(out, n), b[:3*whole])
		b, n = b[3*whole:], n-4*whole
	case s.bits == 4:
		for ; n >= 2; n -= 2 {
			out = append(out, s.chars[b[0]>>4], s.chars[b[0]&15])
			b = b[1:]
		}
	}
	word, filled := 0, 0
	for range n {
		if filled < s.bits {
			word, filled, b = word<<8|int(b[0]), filled+8, b[1:]
		}
		filled -= s.bits
		out = append(out, s.chars[word>>filled&(len(s.chars)-1)])
	}
	return out
}

// unpackUUID appends the 36 characters of 16 bytes.
func unpackUUID(out, b []byte) []byte {
	for _, n := range [...]int{4, 2, 2, 2, 6} {
		if n != 4 {
			out = append(out, '-')
		}
		out = unpack(out, b[:n], 2*n, 0)
		b = b[n:]
	}
	return out
}
