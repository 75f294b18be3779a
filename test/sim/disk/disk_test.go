package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/millrace/millrace/snapshot"
)

// text is the content of a file; "-" if there is none.
func text(t *testing.T, d *Disk, name string) string {
	t.Helper()
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, f snapshot.File, at int64, s string) {
	t.Helper()
	if _, err := f.WriteAt([]byte(s), at); err != nil {
		t.Fatal(err)
	}
}

// TestCrash: what was synced is always there; what was not is there after a kill, and after a power cut in some runs and not in
// others.
func TestCrash(t *testing.T) {
	found := make(map[string]bool)
	for seed := range uint64(100) {
		d := New(0)
		safe, _ := d.Create("safe")
		write(t, safe, 0, "kept")
		if err := errors.Join(safe.Sync(), d.SyncDir(".")); err != nil {
			t.Fatal(err)
		}
		write(t, safe, 4, "more")
		loose, _ := d.Create("loose")
		write(t, loose, 0, "x")
		after := d.Crash(true, rand.New(rand.NewPCG(seed, 0)))
		if got := text(t, after, "safe"); got[:4] != "kept" {
			t.Fatalf("seed %d: %q", seed, got)
		}
		found["more "+text(t, after, "safe")] = true
		found["loose "+text(t, after, "loose")] = true
		if _, err := d.Open("safe"); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a dead disk answers: %v", err)
		}
		if err := loose.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a dead disk syncs: %v", err)
		}
	}
	for _, want := range []string{"more kept", "more keptmore", "loose -", "loose x", "loose "} {
		if !found[want] {
			t.Errorf("in 100 runs never %q; only %v", want, found)
		}
	}
	d := New(0)
	f, _ := d.Create("f")
	write(t, f, 0, "written")
	if got := text(t, d.Crash(false, nil), "f"); got != "written" {
		t.Errorf("after a kill: %q", got)
	}
}

// TestSparse: a file reads as zeros where nothing was written, also after it was cut and grew again.
func TestSparse(t *testing.T) {
	d := New(0)
	f, _ := d.Create("f")
	if err := f.Allocate(1 << 40); err != nil { // more than there is memory
		t.Fatal(err)
	}
	write(t, f, 3, "abc")
	f.Truncate(5)
	f.Truncate(8)
	if got := text(t, d, "f"); !bytes.Equal([]byte(got), []byte("\x00\x00\x00ab\x00\x00\x00")) {
		t.Errorf("%q", got)
	}
}

// TestNames: a name needs its directory, and is taken once.
func TestNames(t *testing.T) {
	d := New(0)
	if _, err := d.Create("dir/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	d.Mkdir("dir")
	d.Create("dir/f")
	if _, err := d.Create("dir/f"); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if err := d.Rename("dir/f", "dir/g"); err != nil {
		t.Error(err)
	}
	if names, err := d.List("dir"); err != nil || len(names) != 1 || names[0] != "g" {
		t.Errorf("%q, %v", names, err)
	}
	if err := d.Remove("dir/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestIllness: a full disk takes no more, and what is written within a file stays possible; a sync that failed keeps nothing, and
// the next one does not make up for it.
func TestIllness(t *testing.T) {
	d := New(0)
	f, _ := d.Create("f")
	write(t, f, 0, "0123")
	d.Suffer(Full)
	if _, err := f.WriteAt([]byte("45"), 3); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write at the end: %v", err)
	}
	if _, err := d.Create("g"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a new file: %v", err)
	}
	if free, err := d.Free(); free != 0 || err != nil {
		t.Errorf("free: %d, %v", free, err)
	}
	write(t, f, 1, "x")
	d.Suffer(Faulty)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	d.Suffer(Well)
	write(t, f, 4, "y")
	if err := errors.Join(f.Sync(), d.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	if got := text(t, d, "f"); got != "0x23y" {
		t.Errorf("before the power cut: %q", got)
	}
	if got := text(t, d.Crash(true, rand.New(rand.NewPCG(1, 0))), "f"); got != "\x00\x00\x00\x00y" {
		t.Errorf("after it: %q", got)
	}
}
