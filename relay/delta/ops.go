package delta

import "github.com/millrace/millrace/relay/packed"

// ops reads the ops of a part, and what stands before them.
type ops struct {
	reader
	view     []byte // of the reference
	text     text
	expected int // where in view the next copy is expected

	literal, copy []byte // what next found; the one of them that is missing is empty
}

// begin makes part what is read next. The first ops may come behind other things.
func (o *ops) begin(view, part []byte) {
	o.reader = reader{packed.Of(part)}
	o.view, o.expected, o.literal, o.copy = view, 0, nil, nil
	o.text.reset()
}

// next reads an op. It reports false behind the last one, and when the part is damaged.
func (o *ops) next() bool {
	if o.Bad || len(o.Rest) == 0 {
		return false
	}
	token := int(o.Byte())
	o.literal = o.readLiteral(token >> 4)
	o.expected += len(o.literal)
	residue := token & copyResidue
	if residue > 0 {
		o.copy = o.readCopy(token&tokenShift != 0, residue)
	} else {
		o.copy = nil
		if len(o.literal) == 0 || token&tokenShift != 0 {
			o.Fail()
		}
	}
	return !o.Bad
}

// readCopy returns the bytes of a copy, nil if the part is damaged.
func (o *ops) readCopy(shifted bool, residue int) []byte {
	at := o.expected
	if shifted {
		at += o.signed()
	}
	n := o.number()
	if o.Bad || at < 0 || at > len(o.view) || n > len(o.view)/copyResidue || n*copyResidue+residue > len(o.view)-at {
		o.Fail()
		return nil
	}
	n = n*copyResidue + residue
	o.expected = at + n
	return o.view[at : at+n]
}

// readLiteral returns a literal, nil if the part is damaged.
func (o *ops) readLiteral(kind int) []byte {
	switch {
	case kind == literalNone:
		return nil
	case kind >= literalAgain:
		return o.text.again(kind - literalAgain)
	case kind == literalPacked:
		return o.readPacked()
	case kind == literalLong:
		kind += o.number()
	}
	b := o.bytes(kind)
	if len(b) > mostLiteral {
		return b
	}
	at := len(o.text.bytes)
	o.text.bytes = append(o.text.bytes, b...)
	return o.text.added(at)
}

// readPacked returns a literal of which a part is packed, in the text.
func (o *ops) readPacked() []byte {
	head := int(o.Byte())
	set, prefix, n, back := head>>5, head&mostPrefix, sizeUUID, 0
	if set == packedPiece {
		back = o.number()
	}
	if set != packedUUID {
		n = o.number()
	}
	t := &o.text
	at := len(t.bytes)
	if prefix+n > mostLiteral || back > at || set == packedPiece && n > back || set > packedPiece {
		o.Fail()
		return nil
	}
	t.bytes = append(t.bytes, o.bytes(prefix)...)
	switch set {
	case packedPiece:
		t.bytes = append(t.bytes, t.bytes[at-back:][:n]...)
	case packedUUID:
		if b := o.bytes(packedSize(sizeUUID-4, 0)); !o.Bad {
			t.bytes = unpackUUID(t.bytes, b)
		}
	default:
		if b := o.bytes(packedSize(n, set)); !o.Bad {
			t.bytes = unpack(t.bytes, b, n, set)
		}
	}
	return t.added(at)
}

// make reports whether what is left of the part makes view.
func (o *ops) make(view []byte) bool {
	for o.next() {
		n := len(o.literal) + len(o.copy)
		if n > len(view) || string(view[:len(o.literal)]) != string(o.literal) || string(view[len(o.literal):n]) != string(o.copy) {
			return false
		}
		view = view[n:]
	}
	return !o.Bad && len(view) == 0
}
