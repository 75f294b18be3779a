package stream

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestRotation: files change by size, are compressed and bounded, and a reader walks over all of them without a gap. A start finds its
// totals in the file before when the kill came right behind a rotation.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	c := fileIn(dir)
	c.MaxSize, c.Keep = minSize, 4
	s := begin(t, Config{File: []FileConfig{c}}, Deps{Totals: func() Totals { return Totals{} }})
	f := s.files[0]
	m := letter(31, "ann@r.example")
	for range 300 {
		for range 100 {
			s.Event(sent(m))
		}
		if err := f.drain(true); err != nil {
			t.Fatal(err)
		}
		f.tidy(t.Context())
	}
	all, err := volumes(c.Path)
	if err != nil || len(all) != c.Keep || slices.ContainsFunc(all, func(v volume) bool { return !v.zst }) {
		t.Fatalf("%+v %v", all, err)
	}
	r := reader{stream: s, at: cursor{next: all[0].first}}
	var b batch
	want, n := all[0].first, 0
	for r.fill(&b); len(b.records) > 0; r.fill(&b) {
		for rec, text := range b.each {
			if rec.kind == Recovery {
				continue
			}
			if rec.position != want || rec.kind != Delivery || field(t, string(text), "type") != "delivery" {
				t.Fatalf("position %d, want %d: %s", rec.position, want, text)
			}
			want++
			n++
		}
	}
	if want != s.Status().Position+1 || n < 5*minSize/700 {
		t.Fatalf("read %d records up to %d of %d", n, want, s.Status().Position)
	}
	f.mu.Lock()
	f.rotate()
	f.mu.Unlock()
	killed := begin(t, Config{File: []FileConfig{c}}, Deps{Totals: func() Totals { return Totals{Sent: 30_000} }})
	if x := killed.files[0]; !x.found.known || x.found.totals.Sent != 30_000 || x.recovery != nil || killed.base <= s.Status().Position {
		t.Errorf("behind a rotation: %+v", x.found)
	}
}

// TestKilledWhileCompressing: what a kill has left is compressed again, and no record is there twice.
func TestKilledWhileCompressing(t *testing.T) {
	c := fileIn(t.TempDir())
	others := []string{".1", ".2.zst", ".20261126", ".1795724715", ".1795724715026973x", ".01795724715026973"} // log rotation has made some
	files := map[string]string{
		".1795724715026973": "a\n", ".1795724715026973.zst": "torn", ".1795724715026974.zst.tmp": "torn", ".1795724715026974": "b\n",
	}
	for _, name := range others {
		files[name] = "c\n"
	}
	for name, text := range files {
		if err := os.WriteFile(c.Path+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	s.files[0].tidy(t.Context())
	if all, err := volumes(c.Path); err != nil || len(all) != 2 || !all[0].zst || !all[1].zst {
		t.Fatalf("%+v %v", all, err)
	}
	for _, name := range others {
		if text, err := os.ReadFile(c.Path + name); string(text) != "c\n" {
			t.Errorf("a file that is not ours: %q %v", text, err)
		}
	}
	if left, _ := filepath.Glob(c.Path + ".*.tmp"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
