package mta

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStartOfAServerThatEnds: the error says why.
func TestStartOfAServerThatEnds(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	_, err := start(exec.Command("sh", "-c", "echo the reason >&2; exit 3"), out, greets, "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "the reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error does not tell: %v", err)
	}
}

func TestOpenTo(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := openTo(dir); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
}

func TestCheckSaysWhatToDo(t *testing.T) {
	t.Setenv("MILLRACE_SENDMAIL", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	err := SendmailPart.Check()
	if err == nil || !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "test/run") {
		t.Errorf("Check: %v", err)
	}
}
