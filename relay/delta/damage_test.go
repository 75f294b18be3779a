package delta

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/letters"
)

// TestDamaged: whatever befalls a part or a view, Join gives an error or a message of the size it says.
func TestDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var s Scratch
	damaged, other := 0, 0
	for _, name := range []string{"listmonk", "odoo", "ten-part", "calendar"} {
		shape, _ := letters.Named(name, 4)
		r, all := campaign(shape, 1)
		s.Read(all[0])
		part, _ := r.Split(&s, 1<<20)
		try := func(view, part []byte) {
			size, _ := Size(part)
			fits := size <= 1<<20 && Fits(view, part, &s) == nil
			pieces, err := Join(view, part, 1<<20, &s)
			if fits != (err == nil) {
				t.Fatalf("it fits: %v, but Join: %v", fits, err)
			}
			if err != nil {
				damaged++
				return
			}
			other++
			if got := bytes.Join(pieces, nil); len(got) != size || size > 1<<20 {
				t.Fatalf("%d bytes, the part says %d", len(got), size)
			}
		}
		for i := range part {
			try(r.View(), part[:i])
			for range 5 {
				p := bytes.Clone(part)
				p[i] = byte(rng.Uint32())
				try(r.View(), p)
			}
			p := append(bytes.Clone(part[:i]), part[min(len(part), i+1+rng.IntN(9)):]...)
			try(r.View(), p)
		}
		for range 100 {
			try(r.View()[:rng.IntN(len(r.View()))], part)
		}
	}
	if damaged < 500 || other < 500 {
		t.Errorf("%d joins failed, %d did not: the test does not do what it should", damaged, other)
	}
}

// TestFitsPlaces: Fits and Join agree about soft breaks at places that a part names, whatever these are.
func TestFitsPlaces(t *testing.T) {
	line := strings.Repeat("x", 75) + "=\r\n" + strings.Repeat("x", 75) + "=\r\nend\r\n"
	var s Scratch
	s.Read([]byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n" + line + "yyyyyyyyyyyy=\r\nyyyyyyy\r\n" + line))
	if len(s.places) == 0 {
		t.Fatal("it has no places")
	}
	view, part := s.View()
	if err := Fits(view, part, &s); err != nil {
		t.Fatal(err)
	}
	for i := range part {
		for b := range 256 {
			p := bytes.Clone(part)
			p[i] = byte(b)
			size, _ := Size(p)
			_, err := Join(view, p, 1<<20, &s)
			if fits := size <= 1<<20 && Fits(view, p, &s) == nil; fits != (err == nil) {
				t.Fatalf("byte %d is %d: it fits: %v, but Join: %v", i, b, fits, err)
			}
		}
	}
}

// TestHostileParts: small parts that ask for much.
func TestHostileParts(t *testing.T) {
	u := binary.AppendUvarint
	const huge = 1<<30 - 1
	for _, c := range []struct {
		name string
		part []byte
		err  error
	}{
		{"nothing", nil, ErrDamaged},
		{"a later form", []byte{2, 0, 0}, ErrForm},
		{"no size", []byte{form}, ErrDamaged},
		{"a size without an end", []byte{form, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ErrDamaged},
		{"over the limit", append(u([]byte{form}, huge), 0), ErrLimit},
		{"more stretches than bytes", append(u([]byte{form, 4}, huge), 0, 1, 1), ErrDamaged},
		{"an unknown coder", []byte{form, 4, 1, 0, 99, 76, 4, 4, 0}, ErrDamaged},
		{"an empty stretch", []byte{form, 4, 1, 0, coderFill, 76, 0, 4, 0}, ErrDamaged},
		{"lines without width", []byte{form, 4, 1, 0, coderBase64, 0, 3, 3, 0}, ErrDamaged},
		{"lines too narrow", []byte{form, 4, 1, 0, coderFill, 3, 3, 3, 0}, ErrDamaged},
		{"a stretch that does not end", []byte{form, 4, 1, 0, coderFill, 76, 9, 4, 0}, ErrDamaged},
		{"an op of nothing", []byte{form, 0, 0, 0}, ErrDamaged},
		{"a shift of nothing", []byte{form, 1, 0, 1<<4 | tokenShift, 'x'}, ErrDamaged},
		{"a copy behind the end", append(u([]byte{form, 20, 0, tokenShift | 1}, 400), 0), ErrDamaged},
		{"a copy before the beginning", []byte{form, 2, 0, tokenShift | 2, 3, 0}, ErrDamaged},
		{"a copy of all that numbers say", u([]byte{form, 4, 0, 1}, huge), ErrDamaged},
		{"a literal that is not there", u([]byte{form, 100, 0, literalLong << 4}, huge), ErrDamaged},
		{"a packed run that is not there", u([]byte{form, 100, 0, literalPacked << 4, 0}, 400), ErrDamaged},
		{"a packed run too long", u([]byte{form, 100, 0, literalPacked << 4, 0}, huge), ErrDamaged},
		{"a run of a kind to come", []byte{form, 1, 0, literalPacked << 4, 7 << 5, 1}, ErrDamaged},
		{"a piece of nothing", []byte{form, 1, 0, literalPacked << 4, packedPiece << 5, 1, 1}, ErrDamaged},
		{"a literal again that was none", []byte{form, 1, 0, literalAgain << 4}, ErrDamaged},
		{"a message too short", []byte{form, 2, 0, 1 << 4, 'x'}, ErrDamaged},
		{"a message too long", []byte{form, 1, 0, 2 << 4, 'x', 'y'}, ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Scratch
			if pieces, err := Join([]byte("0123456789"), c.part, 1000, &s); err != c.err {
				t.Errorf("%q, %v; want %v", pieces, err, c.err)
			}
			if err := Fits([]byte("0123456789"), c.part, &s); err == nil {
				t.Error("it fits")
			}
		})
	}
}

// TestHostileMemory: what asks for the same again and again costs memory in proportion to the limit and the part alone.
func TestHostileMemory(t *testing.T) {
	const limit = 1 << 20
	view := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	part := binary.AppendUvarint([]byte{form}, limit)
	part = append(part, 1, 0, coderFill, narrowest)
	part = binary.AppendUvarint(part, limit)
	for range 1000 {
		part = append(binary.AppendUvarint(append(part, tokenShift|1), 0), 0)
		part = append(part, 0x80, 0x80, 0x01)
	}
	again := append(binary.AppendUvarint([]byte{form}, limit), 0, 1<<4, 'x')
	again = append(again, bytes.Repeat([]byte{literalAgain << 4}, limit)...)
	for _, part := range [][]byte{bytes.Repeat(part, 20), again} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var s Scratch
		_, err := Join(view, part, limit, &s)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16*limit+150*uint64(len(part)) {
			t.Errorf("%d bytes for a part of %d (%v)", n, len(part), err)
		}
	}
}
