package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/snapshot/format"
)

// opened is the secret of a state directory after one start.
func opened(t *testing.T, dir string) []byte {
	t.Helper()
	a, err := Open(dir, DefaultConfig(), nil)
	must(t, err)
	must(t, a.Close())
	return a.Secret()
}

// TestSecretLasts: a new state directory, and one of each older program, gets a secret that stays, is not shared, and that only
// the daemon's user may read.
func TestSecretLasts(t *testing.T) {
	var before [][]byte
	for version := 0; version <= format.Version; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if version > 0 {
				must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", fmt.Sprintf("format%d", version), "state"))))
			}
			first := opened(t, dir)
			if len(first) != secretBytes {
				t.Fatalf("%d bytes", len(first))
			}
			st, err := os.Stat(filepath.Join(dir, secretName))
			must(t, err)
			if st.Mode().Perm() != 0o600 {
				t.Errorf("mode %04o", st.Mode().Perm())
			}
			if again := opened(t, dir); !bytes.Equal(again, first) {
				t.Errorf("%x after %x", again, first)
			}
			for _, other := range before {
				if bytes.Equal(other, first) {
					t.Error("two directories have one secret")
				}
			}
			before = append(before, first)
		})
	}
}

// secretOf is the secret of a start on a file system that may fail.
func secretOf(fs FileSystem) []byte {
	a := &Agent{fs: fs, log: hclog.NewNullLogger()}
	a.establishSecret()
	return a.Secret()
}

// TestSecretSurvivesPowerCuts: what a start has used is there after any power cut, whatever came before it.
func TestSecretSurvivesPowerCuts(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		m := newMemFS()
		stop := rng.IntN(8)
		m.hook = func(n int, _, _ string) error {
			if n >= stop {
				return errPower
			}
			return nil
		}
		secretOf(m)
		m = m.cut(rng)
		m.hook = nil
		used := secretOf(m)
		m = m.cut(rng)
		if got, err := readSecret(m); err != nil || !bytes.Equal(got, used) {
			t.Fatalf("seed %d: %x, %v; %x was in use", seed, got, err, used)
		}
	}
}

// TestSecretWithoutDisk: a disk that refuses, and a file that holds something else, cost the secret and not the start.
func TestSecretWithoutDisk(t *testing.T) {
	m, f := newMemFS(), &failing{}
	f.set("create", errors.New("no space left"))
	m.hook = f.hook
	if len(secretOf(m)) != secretBytes {
		t.Error("no secret on a full disk")
	}
	m.hook = nil
	for _, text := range []string{"", "x", "00ff\n", "zz" + fmt.Sprintf("%062d", 0)} {
		dir := osFS{t.TempDir()}
		must(t, writeFile(dir, secretName, []byte(text)))
		if got := secretOf(dir); len(got) != secretBytes || !bytes.Equal(secretOf(dir), got) {
			t.Errorf("%q: %x", text, got)
		}
	}
}
