package delta

import (
	"bytes"
	"testing"

	"github.com/millrace/millrace/test/letters"
)

// FuzzView: a message is joined from its own view, and its coders give it back.
func FuzzView(f *testing.F) {
	for _, shape := range everyShape(1) {
		f.Add(shape.Message(1)[:3000])
	}
	f.Add([]byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n0123456789abcdef=\r\nx\r\n=\r\n"))
	f.Add([]byte("Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\nQUI=\r\nQQ==\r\n"))
	f.Add([]byte("a: b\r\n\r\n--x\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJDREVG\r\nQR==\r\n--x--\r\n--y\r\n"))
	var s Scratch
	f.Fuzz(func(t *testing.T, message []byte) { rejoin(t, &s, nil, message) })
}

// FuzzSplit: a message is joined from any other and its part.
func FuzzSplit(f *testing.F) {
	for _, shape := range everyShape(1) {
		f.Add(shape.Message(1)[:3000], shape.Message(2)[:3000])
	}
	var s Scratch
	f.Fuzz(func(t *testing.T, one, other []byte) {
		s.Read(one)
		view, _ := s.View()
		rejoin(t, &s, NewReference(view), other)
	})
}

// FuzzJoin: of any bytes Join makes a message of the size they say, or none, and Fits says which.
func FuzzJoin(f *testing.F) {
	var s Scratch
	for _, name := range []string{"listmonk", "odoo", "encoders"} {
		shape, _ := letters.Named(name, 1)
		r, all := campaign(shape, 1)
		s.Read(all[0])
		part, _ := r.Split(&s, 1<<20)
		f.Add(r.View()[:2000], part)
		s.Read(all[0][:2000])
		view, part := s.View()
		f.Add(view, part)
	}
	f.Fuzz(func(t *testing.T, view, part []byte) {
		size, _ := Size(part)
		fits := size <= 1<<16 && Fits(view, part, &s) == nil
		pieces, err := Join(view, part, 1<<16, &s)
		if fits != (err == nil) {
			t.Fatalf("it fits: %v, but Join: %v", fits, err)
		}
		if err != nil {
			return
		}
		if len(bytes.Join(pieces, nil)) != size || size > 1<<16 {
			t.Fatalf("%d bytes; the part says %d", len(bytes.Join(pieces, nil)), size)
		}
	})
}
