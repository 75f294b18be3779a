package snapshot

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestStoredSurvivesPowerCuts: after any power cut, what was stored last is there, or what was being stored then.
func TestStoredSurvivesPowerCuts(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		m := newMemFS()
		a, _, _ := mustStart(t, m, smallConfig())
		must(t, a.Store("plan", []byte("first")))
		m = m.cut(rng)
		a, _, _ = mustStart(t, m, smallConfig())
		calls, stop := 0, rng.IntN(8)
		m.hook = func(int, string, string) error {
			if calls++; calls > stop {
				return errPower
			}
			return nil
		}
		err := a.Store("plan", []byte("second"))
		m = m.cut(rng)
		m.hook = nil
		a, _, _ = mustStart(t, m, smallConfig())
		got, rerr := a.Stored("plan")
		if rerr != nil || string(got) != "second" && (err == nil || string(got) != "first") {
			t.Fatalf("seed %d: %q %v; the second had %v", seed, got, rerr, err)
		}
	}
}

// TestStoredIsOneFile: another name is another state, damage is told, and nothing is written after Close.
func TestStoredIsOneFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	a, err := Open(dir, DefaultConfig(), nil)
	must(t, err)
	must(t, a.Store("plan", []byte("state\nof two lines")))
	must(t, a.Store("other", nil))
	must(t, a.Close())
	if err := a.Store("plan", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	a, err = Open(dir, DefaultConfig(), nil)
	must(t, err)
	for name, want := range map[string]string{"plan": "state\nof two lines", "other": "", "none": ""} {
		if got, err := a.Stored(name); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	must(t, a.Close())
	path := filepath.Join(dir, "plan.kept")
	text, err := os.ReadFile(path)
	must(t, err)
	for _, bad := range []string{"", "x", string(text[:len(text)-1]), "0" + string(text)} {
		must(t, os.WriteFile(path, []byte(bad), 0o600))
		if got, err := a.Stored("plan"); err == nil {
			t.Errorf("%q: read as %q", bad, got)
		}
	}
	must(t, os.Chmod(path, 0o666))
	if _, err := Open(dir, DefaultConfig(), nil); err == nil {
		t.Error("started on a file that anybody may write")
	}
}
