package stream

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// TestTornLine: the end of a line that a kill has left is cut off, and the next record is on a line of its own.
func TestTornLine(t *testing.T) {
	c := fileIn(t.TempDir())
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	s.Event(taken(letter(31, "ann@r.example")))
	s.Close()
	text, _ := os.ReadFile(c.Path)
	whole := len(text)
	for cut := 0; cut < 400; cut += 9 {
		if err := os.WriteFile(c.Path, append(slices.Clone(text), text[whole-400:whole-400+cut]...), 0o600); err != nil {
			t.Fatal(err)
		}
		s := begin(t, Config{File: []FileConfig{c}}, Deps{})
		s.Event(taken(letter(32, "bob@r.example")))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		lines := linesOf(t, c.Path)
		for _, l := range lines[:min(len(lines), 2)] {
			field(t, l, "type")
		}
		if last := lines[len(lines)-2]; field(t, last, "recipient") != "bob@r.example" {
			t.Fatalf("%d bytes of a line: %q", cut, lines)
		}
	}
}

// TestSurvey: a start reads the file before, which it would have to unpack, only when the file that is written has no record yet.
func TestSurvey(t *testing.T) {
	c := fileIn(t.TempDir())
	c.Kinds = []string{"delivery"} // such a file has no totals
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	s.Event(sent(letter(31, "ann@r.example")))
	s.Close()
	const before = 1 << 52
	text := fmt.Sprintf(`{"position":%d,"time":"2026-11-26T17:30:00.123Z","type":"delivery"}`+"\n", before)
	if err := os.WriteFile(fmt.Sprint(c.Path, ".", minPosition), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if x := begin(t, Config{File: []FileConfig{c}}, Deps{}).files[0].found; x.last != s.Status().Position {
		t.Errorf("the file before was read: %+v", x)
	}
	if err := os.Truncate(c.Path, 0); err != nil {
		t.Fatal(err)
	}
	if x := begin(t, Config{File: []FileConfig{c}}, Deps{}).files[0].found; x.last != before {
		t.Errorf("the file before was not read: %+v", x)
	}
}

// FuzzTail: whatever stands in a file, a start reads it to the end, mends it, and what it then writes is read back.
func FuzzTail(f *testing.F) {
	f.Add([]byte(`{"position":7,"time":"2026-11-26T17:30:00.123Z","type":"totals","sent":3}` + "\n"))
	f.Add([]byte(`{"position":8,"time":"2026-11-26T17:30:00.123Z","type":"reception","rcpts":2}` + "\n" + `{"position":9,"ti`))
	f.Add([]byte("\n\n{\"position\":18446744073709551615,\"time\":\"\",\"type\":\"gap\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := fileIn(t.TempDir())
		if err := os.WriteFile(c.Path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := New(Config{Buffer: 1 << 16, File: []FileConfig{c}}, Deps{Totals: func() Totals { return Totals{Sent: 5} }})
		if err != nil {
			t.Fatal(err)
		}
		s.Event(sent(letter(31, "ann@r.example")))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := begin(t, Config{Buffer: 1 << 16, File: []FileConfig{c}}, Deps{})
		if x := again.files[0].found; !x.known || x.totals.Sent != 6 || x.last != s.Status().Position {
			t.Errorf("%q: then %+v of %d", text, x, s.Status().Position)
		}
	})
}
