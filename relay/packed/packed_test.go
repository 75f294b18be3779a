package packed

import (
	"encoding/binary"
	"math"
	"testing"
)

// TestFields reads each kind of field, and what follows it.
func TestFields(t *testing.T) {
	b := binary.AppendUvarint([]byte{7}, 300)
	b = binary.AppendUvarint(b, 300)
	b = binary.AppendVarint(b, -70)
	b = binary.AppendVarint(b, math.MinInt64)
	r := Of(append(b, "abcde"...))
	if r.Byte() != 7 || r.Uvarint() != 300 || r.UpTo(300) != 300 || r.Within(70) != -70 || r.Varint() != math.MinInt64 {
		t.Errorf("numbers are wrong; %q is left", r.Rest)
	}
	piece := r.Bytes(3)
	if string(piece) != "abc" || string(append(piece, 'x')) != "abcx" || string(r.Rest) != "de" || r.Bad {
		t.Errorf("piece %q, %q is left, bad %t", piece, r.Rest, r.Bad)
	}
}

// TestMisfits: a field that does not fit makes the Reader bad, and all that follows zero.
func TestMisfits(t *testing.T) {
	tooLong := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	for name, c := range map[string]struct {
		b    []byte
		read func(r *Reader) bool // it reports whether it got a zero
	}{
		"byte at the end":     {nil, func(r *Reader) bool { return r.Byte() == 0 }},
		"cut number":          {[]byte{0x80}, func(r *Reader) bool { return r.Uvarint() == 0 }},
		"number of 65 bits":   {tooLong, func(r *Reader) bool { return r.Uvarint() == 0 }},
		"number above a most": {[]byte{11, 1}, func(r *Reader) bool { return r.UpTo(10) == 0 }},
		"cut signed":          {[]byte{0x80}, func(r *Reader) bool { return r.Varint() == 0 }},
		"signed of 65 bits":   {tooLong, func(r *Reader) bool { return r.Varint() == 0 }},
		"signed above":        {[]byte{22, 1}, func(r *Reader) bool { return r.Within(10) == 0 }},
		"signed below":        {[]byte{21, 1}, func(r *Reader) bool { return r.Within(10) == 0 }},
		"piece":               {[]byte("ab"), func(r *Reader) bool { return r.Bytes(3) == nil }},
		"piece of any length": {[]byte("ab"), func(r *Reader) bool { return r.Bytes(math.MaxUint64) == nil }},
	} {
		t.Run(name, func(t *testing.T) {
			r := Of(c.b)
			if !c.read(&r) || !r.Bad || r.Byte() != 0 || r.Uvarint() != 0 || r.Varint() != 0 || len(r.Rest) > 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}
