package delta

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/letters"
)

// TestCheck: a part that Split would give away makes the message, whatever has befallen it. So the check of the view by Read and
// that of the part by Split are together worth a Join.
func TestCheck(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var s, other Scratch
	passed, failed := 0, 0
	for _, shape := range everyShape(4) {
		r, all := campaign(shape, 1)
		s.Read(all[0])
		part, _ := r.Split(&s, 1<<20)
		for range 1000 {
			s.out.b = append(s.out.b[:0], part...)
			for range rng.IntN(2) {
				s.out.b[rng.IntN(len(part))] ^= 1 << rng.IntN(8)
			}
			given, ok := s.checked(r.view)
			if !ok {
				failed++
				continue
			}
			passed++
			if pieces, err := Join(r.view, given, len(all[0]), &other); err != nil || !same(all[0], pieces) {
				t.Fatalf("%s: a part of another message, %v", shape.Name, err)
			}
		}
	}
	if passed < 4000 || failed < 4000 {
		t.Errorf("%d parts passed, %d failed: the test does not do what it should", passed, failed)
	}
}

// TestCheckFails: each thing that a part says of the message is compared.
func TestCheckFails(t *testing.T) {
	shape, _ := letters.Named("listmonk", 3)
	r, all := campaign(shape, 1)
	for what, spoil := range map[string]func(s *Scratch){
		"another byte of the message": func(s *Scratch) { s.view[3]++ },
		"a byte more":                 func(s *Scratch) { s.message = append(s.message, 'x') },
		"another coder":               func(s *Scratch) { s.stretches[0].coder.kind++ },
		"another width":               func(s *Scratch) { s.stretches[0].coder.width++ },
		"another size":                func(s *Scratch) { s.stretches[0].size++ },
		"another place":               func(s *Scratch) { s.stretches[1].before-- },
		"a stretch less":              func(s *Scratch) { s.stretches = s.stretches[:1] },
	} {
		var s Scratch
		s.Read(all[0])
		if _, ok := r.Split(&s, 1<<20); !ok {
			t.Fatal("no part")
		}
		spoil(&s)
		if _, ok := s.checked(r.view); ok {
			t.Errorf("%s: the part passes", what)
		}
	}
}

// TestCheckPlaces: the places of soft breaks that no rule explains are compared too.
func TestCheckPlaces(t *testing.T) {
	line := strings.Repeat("x", 75) + "=\r\n" + strings.Repeat("x", 75) + "=\r\nend\r\n"
	var s Scratch
	s.Read([]byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n" + line + "yyyyyyyyyyyy=\r\nyyyyyyy\r\n" + line))
	r := NewReference(s.view)
	if _, ok := r.Split(&s, 1<<20); !ok || len(s.places) == 0 {
		t.Fatal("no part, or none with places")
	}
	s.places[0]++
	if _, ok := s.checked(r.view); ok {
		t.Error("another place: the part passes")
	}
}

// TestFenceLikeASoftBreak: a delimiter that ends in an equal sign, just where a soft break would stand, ends its part.
func TestFenceLikeASoftBreak(t *testing.T) {
	fence := "--" + strings.Repeat("b", 20) + "="
	var s Scratch
	s.Read([]byte("a: b\r\n\r\n" + fence + "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
		strings.Repeat("x", 75) + "=\r\n" + strings.Repeat("y", 76-2-len(fence)) + "\r\n" + fence + "\r\n" + in64 + "SGVsbG8g\r\n" + fence + "--\r\n"))
	if len(s.stretches) != 2 {
		t.Errorf("%+v: want two stretches", s.stretches)
	}
}

// TestBreaks: the coders of soft breaks put them where the plain reading of their rules has them.
func TestBreaks(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	chars := []string{"=C3=BC", "=e2=82=AC", "=F0=9F=98=80", "=3D", "=", "=<", "a", "b", "c ", "<"}
	for range 200_000 {
		var line []byte
		for n := rng.IntN(60); len(line) < n; {
			line = append(line, chars[rng.IntN(len(chars))]...)
		}
		width := narrowest + rng.IntN(30)
		if got, want := fillUTF8(line, width), plainUTF8(line, width); got != want {
			t.Fatalf("a line of %d for %q ends at %d, want %d", width, line, got, want)
		}
	}
}

// plainUTF8 is fillUTF8 byte by byte.
func plainUTF8(line []byte, width int) int {
	sizes := map[byte]int{'C': 6, 'D': 6, 'E': 9, 'F': 12}
	for i := max(min(len(line), width)-11, 0); i < min(len(line)-1, width); i++ {
		if line[i] == '=' && i+max(3, sizes[bytes.ToUpper(line[i+1 : i+2])[0]]) > width {
			return i
		}
	}
	return fill(line, width)
}
