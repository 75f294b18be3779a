package process

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 30 * time.Second

func startShell(t *testing.T, script string) *Process {
	t.Helper()
	return startShellInto(t, filepath.Join(t.TempDir(), "out"), script)
}

func startShellInto(t *testing.T, output, script string) *Process {
	t.Helper()
	p, err := Start(exec.Command("sh", "-c", script), output)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(syscall.SIGKILL, patience) })
	return p
}

// says returns a function for Await that wants this text in the output.
func says(p *Process, text string) func() error {
	return func() error {
		if !strings.Contains(p.Output(), text) {
			return errors.New("it has not said " + text)
		}
		return nil
	}
}

func TestStop(t *testing.T) {
	p := startShell(t, "sleep 1000 & wait")
	if err := p.Ended(); err != nil || p.Over() {
		t.Fatal(err)
	}
	if err := p.Stop(syscall.SIGTERM, patience); err != nil {
		t.Error(err)
	}
	if p.Ended() == nil || !p.Over() {
		t.Error("it still runs")
	}
	if err := p.Exit(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("exit status %v", err)
	}
	if err := p.Stop(syscall.SIGTERM, patience); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

// TestStopEndsTheWholeGroup wants a grandchild that ignores the signal gone too.
func TestStopEndsTheWholeGroup(t *testing.T) {
	p := startShell(t, `(trap "" TERM; echo up; while :; do sleep 1; done) & wait`)
	if err := p.Await(patience, says(p, "up")); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(syscall.SIGTERM, patience); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(patience); !errors.Is(syscall.Kill(-p.cmd.Process.Pid, 0), syscall.ESRCH); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			t.Fatal("the group is not empty")
		}
	}
}

func TestStopOfADeafProcess(t *testing.T) {
	p := startShell(t, `trap "" TERM; echo up; while :; do sleep 1; done`)
	if err := p.Await(patience, says(p, "up")); err != nil {
		t.Fatal(err)
	}
	err := p.Stop(syscall.SIGTERM, 10*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "did not end within 10ms") || !p.Over() {
		t.Errorf("%v; over: %v", err, p.Over())
	}
}

func TestProcessThatEndsEarly(t *testing.T) {
	p := startShell(t, "echo the reason >&2; exit 3")
	err := p.Await(patience, func() error { return errors.New("not ready") })
	if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "the reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("the error does not tell: %v", err)
	}
}

func TestProcessThatIsNeverReady(t *testing.T) {
	p := startShell(t, "sleep 1000")
	err := p.Await(10*time.Millisecond, says(p, "anything"))
	if err == nil || !strings.Contains(err.Error(), "not ready after 10ms: it has not said anything") {
		t.Errorf("Await: %v", err)
	}
}

func TestProcessThatDoesNotExist(t *testing.T) {
	if _, err := Start(exec.Command("/nowhere/to/be/found"), filepath.Join(t.TempDir(), "out")); err == nil {
		t.Error("started what is not there")
	}
	if _, err := Start(exec.Command("true"), filepath.Join(t.TempDir(), "nowhere", "out")); err == nil {
		t.Error("started without a place for the output")
	}
}

// TestOutputOfASecondStart: the file keeps all, and each process answers for its own part.
func TestOutputOfASecondStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	for _, word := range []string{"first", "second"} {
		p := startShellInto(t, file, "echo "+word)
		if err := p.Exit(); err != nil {
			t.Fatal(err)
		}
		if got := p.Output(); got != word+"\n" {
			t.Errorf("output %q", got)
		}
	}
	if got := Tail(file); got != "first\nsecond" {
		t.Errorf("the file holds %q", got)
	}
}

// TestLaunch: another way to start gets the command complete, and its error comes back.
func TestLaunch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("sh", "-c", "echo $GREETING")
	p, err := Launch(cmd, file, func(c *exec.Cmd) error {
		c.Env = append(c.Environ(), "GREETING=hello")
		return c.Start()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Exit(); err != nil || p.Output() != "hello\n" {
		t.Errorf("%v, %q", err, p.Output())
	}
	if _, err := Launch(exec.Command("sh"), file, func(*exec.Cmd) error { return os.ErrPermission }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Launch: %v", err)
	}
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 3*tailSize)+"\nthe end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Tail(file); len(got) > tailSize || !strings.HasSuffix(got, "x\nthe end") {
		t.Errorf("%d bytes, %.20q", len(got), got)
	}
	if got := Tail(filepath.Join(t.TempDir(), "nothing")); !strings.Contains(got, "no such file") {
		t.Errorf("of a file that is not there: %q", got)
	}
}

func TestFreeAddr(t *testing.T) {
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}
