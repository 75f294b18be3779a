// Package process runs servers as children of a test: Millrace, Postfix, Sendmail and opendkim are started, awaited,
// stopped and killed by the same code.
//
// A child gets a process group of its own, so that stopping it also ends the children it has started itself. The kernel
// sends it SIGTERM when the test dies, so that a killed test leaves no server behind.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// pollEvery is the time between two questions whether a process is ready. It is short because the crash harness kills a
// daemon at its first work after the start; a question to a server that does not listen yet costs next to nothing.
const pollEvery = time.Millisecond

// ErrEnded is returned, wrapped with the exit status and the end of the output, when a process has ended although
// nobody has stopped it.
var ErrEnded = errors.New("ended by itself")

// Process is a server that runs in the foreground. Its methods may be called from any goroutine.
type Process struct {
	cmd    *exec.Cmd
	name   string // for errors: the name of the server, also when Launch starts another program in front of it
	output string // file that stdout and stderr are appended to
	from   int64  // where in output this process begins
	done   chan struct{}
	err    error // the exit status; written before done is closed, read only after it
}

// Start starts cmd. Its stdout and stderr are appended to the file output.
func Start(cmd *exec.Cmd, output string) (*Process, error) {
	return Launch(cmd, output, (*exec.Cmd).Start)
}

// Launch is Start with another way to start cmd. start must leave cmd in the state in which exec.Cmd.Start leaves it.
func Launch(cmd *exec.Cmd, output string, start func(*exec.Cmd) error) (*Process, error) {
	file, err := os.OpenFile(output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the child has its own descriptor
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p := &Process{cmd: cmd, name: filepath.Base(cmd.Path), output: output, from: info.Size(), done: make(chan struct{})}
	started := make(chan error)
	go p.run(start, started) // ends with the child
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// run starts the child, waits for its end, and then kills the children that outlive it: at once, because later the
// number of the group may belong to another program. The goroutine keeps its thread until then: the kernel sends the
// signal of a dead parent when the thread ends that started the child.
func (p *Process) run(start func(*exec.Cmd) error, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := start(p.cmd); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	p.signalGroup(syscall.SIGKILL)
	close(p.done)
}

// Over reports whether the process has ended.
func (p *Process) Over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Exit waits for the end of the process and returns its exit status: nil for 0.
func (p *Process) Exit() error {
	<-p.done
	return p.err
}

// Ended returns nil while the process runs, else an ErrEnded with the exit status and the end of the output.
func (p *Process) Ended() error {
	if !p.Over() {
		return nil
	}
	return fmt.Errorf("%s %w (%v): %s", p.name, ErrEnded, p.err, p.Tail())
}

// Signal sends sig to the process and its children, and returns at once. A process that has ended gets none.
func (p *Process) Signal(sig syscall.Signal) {
	if !p.Over() {
		p.signalGroup(sig)
	}
}

// signalGroup ignores the only error there can be: that nobody is left in the group.
func (p *Process) signalGroup(sig syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, sig) }

// Stop sends sig and waits for the end as Gone does.
func (p *Process) Stop(sig syscall.Signal, limit time.Duration) error {
	p.Signal(sig)
	return p.Gone(limit)
}

// Gone waits for the end of the process, whatever its exit status. A process that outlives limit is killed, and that is
// an error.
func (p *Process) Gone(limit time.Duration) error {
	select {
	case <-p.done:
		return nil
	case <-time.After(limit):
		p.Signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %v and was killed: %s", p.name, limit, p.Tail())
	}
}

// Await waits until ready returns nil. It returns an error when the process ends first, or when limit is over.
func (p *Process) Await(limit time.Duration, ready func() error) error {
	for end := time.Now().Add(limit); ; time.Sleep(pollEvery) {
		err := ready()
		if err == nil {
			return nil
		}
		if ended := p.Ended(); ended != nil {
			return ended
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not ready after %v: %w: %s", p.name, limit, err, p.Tail())
		}
	}
}
