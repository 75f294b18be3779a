package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/test/process"
)

// binary is the daemon under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(WithBinary(&binary, m.Run)) }

// configured returns a daemon that can be started and is killed at the end of the test.
func configured(t *testing.T) *Daemon {
	t.Helper()
	d := New(binary, filepath.Join(t.TempDir(), "millrace"))
	err := d.Configure(fmt.Sprintf(`hostname = "millrace.test"
state_dir = %q
mode = "observe"
milter.listen = [%q]
bounce.inject = "[127.0.0.1]:1"
control.socket = %q
log.mail = %q
`, filepath.Join(d.Dir, "state"), "unix:"+filepath.Join(d.Dir, "milter.sock"), d.Socket(), d.MailLogFile()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !d.Over() {
			_ = d.Kill()
		}
	})
	return d
}

func start(t *testing.T, d *Daemon) {
	t.Helper()
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	if err := d.Answers(); err != nil {
		t.Fatal(err)
	}
}

// TestLives is a daemon's life: a start, a clean stop, another start that finds it clean, a crash.
func TestLives(t *testing.T) {
	d := configured(t)
	if !d.Over() {
		t.Error("it runs before its first start")
	}
	start(t, d)
	if d.Over() || d.Ended() != nil {
		t.Error("it answers and is over")
	}
	if st, err := d.Status(); err != nil || st.Mode != "observe" {
		t.Errorf("mode %q, %v", st.Mode, err)
	}
	if err := d.Stop(Patience); err != nil || !d.Over() {
		t.Errorf("stop: %v, over %v", err, d.Over())
	}
	start(t, d)
	if journal, err := d.Recovered(); err != nil || !journal.Recovered || !journal.Recovery.Clean {
		t.Errorf("after a clean stop: %+v, %v", journal, err)
	}
	if err := d.Kill(); err != nil || !d.Over() {
		t.Errorf("kill: %v, over %v", err, d.Over())
	}
	if err := d.Failure(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("a killed daemon's exit status: %v", err)
	}
	if c := d.Complaints(); len(c) > 0 {
		t.Errorf("it complains: %q", c)
	}
}

// TestRefusal: a daemon that does not start is told from one that is not ready, and its last words are there.
func TestRefusal(t *testing.T) {
	d := configured(t)
	if err := os.WriteFile(filepath.Join(d.Dir, "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Recovered(); !errors.Is(err, process.ErrEnded) || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("Recovered: %v", err)
	}
	if words := d.LastWords(); len(words) != 1 || d.LastLine() != words[0] || !strings.Contains(d.LogTail(), words[0]) {
		t.Errorf("last words %q of %q", words, d.Log())
	}
}

func TestReload(t *testing.T) {
	d := configured(t)
	start(t, d)
	d.Signal(syscall.SIGHUP)
	if err := d.process.Await(Patience, func() error {
		if !strings.Contains(d.Log(), "reloaded") {
			return errors.New("not reloaded")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestRun(t *testing.T) {
	d := configured(t)
	start(t, d)
	if out, err := d.Run("status"); err != nil || out == "" {
		t.Errorf("status: %v, %s", err, out)
	}
	if out, err := d.Run("nonsense"); err == nil {
		t.Errorf("nonsense is a command: %s", out)
	}
}

// TestLaunch: a harness may start the process in its own way, and gets the environment it was told to set.
func TestLaunch(t *testing.T) {
	d := configured(t)
	d.Env = []string{"COLOUR=green"}
	var env string
	d.Launch = func(c *exec.Cmd) error {
		env = strings.Join(c.Env, "\n")
		return c.Start()
	}
	start(t, d)
	if !strings.Contains(env, "COLOUR=green") {
		t.Error("the environment lacks what Env holds")
	}
}

func TestComplaints(t *testing.T) {
	d := New("", t.TempDir())
	if err := os.WriteFile(d.LogFile(), []byte("all is well\nWARNING: DATA RACE\nmore\npanic: no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := d.Complaints(); len(c) != 2 || !strings.Contains(c[0], "panic: no") || !strings.Contains(c[1], "DATA RACE\nmore") {
		t.Errorf("%q", c)
	}
}

func TestNextHop(t *testing.T) {
	for addr, want := range map[string]string{"127.0.0.1:25": "[127.0.0.1]:25", "[::1]:25": "[::1]:25"} {
		if got := NextHop(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}
