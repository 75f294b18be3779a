package mta

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func startShell(t *testing.T, script string) *process {
	t.Helper()
	p, err := startProcess(exec.Command("sh", "-c", script), filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.stop(syscall.SIGKILL) })
	return p
}

func TestProcessStop(t *testing.T) {
	p := startShell(t, "sleep 1000 & wait")
	if err := p.ended(); err != nil {
		t.Fatal(err)
	}
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if p.ended() == nil {
		t.Error("it still runs")
	}
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

// TestProcessStopsTheWholeGroup wants a grandchild that ignores the signal gone too.
func TestProcessStopsTheWholeGroup(t *testing.T) {
	p := startShell(t, `(trap "" TERM; echo up; while :; do sleep 1; done) & wait`)
	if err := p.await(startTimeout, func() error {
		if tail(p.output) != "up" {
			return errors.New("not up")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	eventually(t, "the group is empty", func() bool {
		return errors.Is(syscall.Kill(-p.cmd.Process.Pid, 0), syscall.ESRCH)
	})
}

func TestProcessThatEndsEarly(t *testing.T) {
	p := startShell(t, "echo the reason >&2; exit 3")
	err := p.await(startTimeout, func() error { return errors.New("not ready") })
	if err == nil || !strings.Contains(err.Error(), "the reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error does not tell: %v", err)
	}
}

func TestProcessThatIsNeverReady(t *testing.T) {
	p := startShell(t, "sleep 1000")
	err := p.await(10*time.Millisecond, greets("127.0.0.1:1"))
	if err == nil || !strings.Contains(err.Error(), "not ready after 10ms") {
		t.Errorf("await: %v", err)
	}
}

func TestProcessThatDoesNotExist(t *testing.T) {
	if _, err := startProcess(exec.Command("/nowhere/to/be/found"), filepath.Join(t.TempDir(), "out")); err == nil {
		t.Error("started what is not there")
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
