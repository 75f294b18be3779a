package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/snapshot/format"
)

// spoiled makes a state directory of several segments, in which messages wait, and spoils it.
func spoiled(t *testing.T, spoil func(dir string)) (string, *world) {
	t.Helper()
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 60)
	must(t, a.WriteSnapshot())
	w.campaign(t, a, 20)
	must(t, a.Flush())
	dir := filepath.Join(t.TempDir(), "state")
	m.killed().writeTo(t, dir)
	spoil(dir)
	return dir, w
}

// TestSalvage: what Open refuses is usable afterwards, nothing that can be read is lost, what cannot is told and set
// aside, and ids go on where no lost file can have been.
func TestSalvage(t *testing.T) {
	remove := func(names ...string) func(string) {
		return func(dir string) {
			for _, n := range names {
				must(t, os.Remove(filepath.Join(dir, n)))
			}
		}
	}
	for _, tt := range []struct {
		name          string
		spoil         func(dir string)
		missing, lost bool
		aside         string
	}{
		{"segment gone", remove(segmentName(2)), true, true, ""},
		{"header gone", func(dir string) { must(t, os.Truncate(filepath.Join(dir, segmentName(2)), 10)) }, true, true, "journal/00000002.unreadable"},
		{"newest gone", func(dir string) {
			names, err := osFS{dir}.List(journalDir)
			must(t, err)
			remove(journalDir + "/" + names[len(names)-1])(dir)
		}, true, true, ""},
		{"snapshots gone", func(dir string) { must(t, os.RemoveAll(filepath.Join(dir, snapshotDir))) }, false, false, ""},
		{"snapshots damaged", func(dir string) {
			for _, n := range []uint64{1, 2} {
				must(t, os.Truncate(filepath.Join(dir, numbered(snapshotDir, n, snapshotExt)), format.BlockSize))
			}
		}, false, false, "snapshot/00000002.unreadable"},
		{"nothing wrong", func(string) {}, false, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, w := spoiled(t, tt.spoil)
			_, _, _, err := start(osFS{dir}, smallConfig())
			if refused := errors.Is(err, ErrMissing) || errors.Is(err, ErrDamaged); refused == (tt.name == "nothing wrong") {
				t.Fatalf("before: %v", err)
			}
			if tt.name == "nothing wrong" {
				dir, w = spoiled(t, tt.spoil)
			}
			r, err := Salvage(dir, hclog.NewNullLogger())
			must(t, err)
			if (len(r.Missing) > 0) != tt.missing || r.Messages == 0 {
				t.Errorf("%s: %v", &r, r.Missing)
			}
			if again := len(r.Notes) > 0 && strings.Contains(r.Notes[len(r.Notes)-1], "may receive theirs again"); again != (tt.name != "nothing wrong") {
				t.Errorf("notes %q", r.Notes)
			}
			if r.MaybeTwice == 0 {
				t.Error("what the MTA has not heard of is not counted")
			}
			if tt.aside != "" {
				if _, err := os.Stat(filepath.Join(dir, tt.aside)); err != nil {
					t.Error(err)
				}
			}
			must(t, Verify(dir))
			a, saved, again := mustStart(t, osFS{dir}, smallConfig())
			if !again.Healthy() || again.Messages != r.Messages || again.MaybeTwice != r.MaybeTwice || (len(saved) < len(w.order)) != tt.lost {
				t.Errorf("after: %d of %d messages; %s; salvaged %s", len(saved), len(w.order), &again, &r)
			}
			for _, s := range saved {
				must(t, w.checkOne(s))
			}
			if id := a.NewID(); id>>epochShift < unknownStarts {
				t.Errorf("id %d may be one of a lost file", id)
			}
		})
	}
}

// TestSalvageRefuses: a running daemon's directory, and one of a newer version, stay as they are.
func TestSalvageRefuses(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(dir, DefaultConfig(), nil)
	must(t, err)
	if _, err := Salvage(dir, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("of a running daemon: %v", err)
	}
	must(t, a.Close())
	other := t.TempDir()
	must(t, os.Mkdir(filepath.Join(other, journalDir), 0o700))
	if _, err := Salvage(other, nil); err == nil {
		t.Error("of a directory in which no daemon was: no error")
	}
	if names, _ := (osFS{other}).List("."); len(names) != 1 {
		t.Errorf("it holds %v now", names)
	}
}
