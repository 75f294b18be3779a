// Package daemon is Millrace as a process of its own: built, configured, started, asked, stopped and killed as an
// administrator or a crash would do it. The crash harness, the scenarios and the benchmarks share it.
//
//	bin, err := daemon.Build(dir)
//	d := daemon.New(bin, dir)
//	err = d.Configure(text)
//	err = d.Start()
//	journal, err := d.Recovered()
//	...
//	err = d.Stop(daemon.Patience)
package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/snapshot"
	"github.com/millrace/millrace/test/process"
)

// Patience bounds everything that a healthy daemon does in a moment.
const Patience = 60 * time.Second

// Daemon is one Millrace. It may be started and ended many times, one process after the other; configuration and logs
// stay. Start and the methods that end it are for one goroutine at a time.
type Daemon struct {
	Bin string   // the millrace command; see Build
	Dir string   // configuration, sockets and logs lie here
	Env []string // more environment variables, as "NAME=value"
	// Launch starts the process in place of exec.Cmd.Start, when not nil.
	Launch func(*exec.Cmd) error

	process *process.Process // of the present or last start; nil before the first one
}

// Build compiles the millrace command into dir and returns its path. flags are more flags for go build.
func Build(dir string, flags ...string) (string, error) {
	bin := filepath.Join(dir, "millrace")
	args := append(append([]string{"build", "-o", bin}, flags...), "github.com/millrace/millrace/cmd/millrace")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build millrace: %w\n%s", err, out)
	}
	return bin, nil
}

// WithBinary builds the millrace command for the duration of run, sets bin to its path, and returns what run returns,
// or 1 when it cannot be built. It is the body of a TestMain: the tests of a package share one binary.
func WithBinary(bin *string, run func() int, flags ...string) int {
	dir, err := os.MkdirTemp("", "millrace-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		*bin, err = Build(dir, flags...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// New returns a Daemon that runs bin in dir. It is not started and has no configuration yet.
func New(bin, dir string) *Daemon { return &Daemon{Bin: bin, Dir: dir} }

// Start starts "millrace serve" and returns at once: see Answers and Recovered.
func (d *Daemon) Start() error {
	cmd := exec.Command(d.Bin, "serve", "-c", d.Config())
	cmd.Env = append(os.Environ(), d.Env...)
	start := (*exec.Cmd).Start
	if d.Launch != nil {
		start = d.Launch
	}
	p, err := process.Launch(cmd, d.LogFile(), start)
	if err != nil {
		return err
	}
	d.process = p
	return nil
}

// Answers waits until the daemon answers at its control socket. It may still be recovering then.
func (d *Daemon) Answers() error {
	return d.process.Await(Patience, func() error {
		_, err := d.Status()
		return err
	})
}

// Recovered waits until the daemon has recovered, and returns the status of its journal. The error wraps
// process.ErrEnded when the daemon refuses to start.
func (d *Daemon) Recovered() (snapshot.Status, error) {
	var journal snapshot.Status
	err := d.process.Await(Patience, func() error {
		var err error
		if journal, err = d.Journal(); err == nil && !journal.Recovered {
			err = fmt.Errorf("it is still recovering")
		}
		return err
	})
	return journal, err
}

// Status asks the control socket.
func (d *Daemon) Status() (console.Status, error) {
	c := console.NewClient(d.Socket())
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	return c.Status(ctx)
}

// Journal asks the control socket and returns only the status of the journal.
func (d *Daemon) Journal() (snapshot.Status, error) {
	var journal snapshot.Status
	st, err := d.Status()
	if err != nil {
		return journal, err
	}
	text, err := json.Marshal(st.Journal) // the console knows no type of snapshot's
	if err != nil {
		return journal, err
	}
	return journal, json.Unmarshal(text, &journal)
}

// Signal sends sig and returns at once. A daemon that has ended gets none.
func (d *Daemon) Signal(sig syscall.Signal) { d.process.Signal(sig) }

// Kill ends the daemon as a crash would, and returns when it is gone. Its exit status is no news.
func (d *Daemon) Kill() error { return d.process.Stop(syscall.SIGKILL, Patience) }

// Stop sends SIGTERM and waits for the end. It returns an error when that takes longer than limit, or when the exit
// status is not 0; that error quotes the log.
func (d *Daemon) Stop(limit time.Duration) error {
	if err := d.process.Stop(syscall.SIGTERM, limit); err != nil {
		return err
	}
	return d.Failure()
}

// CPU is the processor time that the present process of the daemon has used.
func (d *Daemon) CPU() (time.Duration, error) { return d.process.CPU() }

// Gone waits for the end of the daemon. A daemon that outlives limit is killed, and that is an error.
func (d *Daemon) Gone(limit time.Duration) error { return d.process.Gone(limit) }

// Over reports whether the daemon does not run: it has ended, or was never started.
func (d *Daemon) Over() bool { return d.process == nil || d.process.Over() }

// Ended returns nil while the daemon runs, else an error that wraps process.ErrEnded.
func (d *Daemon) Ended() error { return d.process.Ended() }

// Failure waits for the end of the daemon and returns nil when its exit status is 0, else an error that quotes the log.
func (d *Daemon) Failure() error {
	err := d.process.Exit()
	if err == nil {
		return nil
	}
	return fmt.Errorf("millrace: %w: %s", err, d.process.Tail())
}

// Run runs another millrace command, which finds this daemon by its environment, and returns what the command prints.
func (d *Daemon) Run(args ...string) (string, error) {
	cmd := exec.Command(d.Bin, args...)
	cmd.Env = append(os.Environ(), "MILLRACE_CONFIG="+d.Config(), "MILLRACE_SOCKET="+d.Socket())
	out, err := cmd.CombinedOutput()
	return string(out), err
}
