package mta

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
	pollEvery    = 20 * time.Millisecond
)

// process is a server that runs in the foreground as a child, in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	output string        // file with what it wrote to stdout and stderr
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; valid after done
}

// startProcess starts cmd with its output in the file of this name.
func startProcess(cmd *exec.Cmd, output string) (*process, error) {
	file, err := os.Create(output)
	if err != nil {
		return nil, fmt.Errorf("mta: %w", err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p := &process{cmd: cmd, output: output, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started) // ends with the child, which stop ends
	if err := <-started; err != nil {
		return nil, fmt.Errorf("mta: start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// run starts the child and waits for it. The thread must not end before the child does: the kernel sends the parent
// death signal, which keeps a killed test from leaving servers behind, when the starting thread ends.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.done)
}

// stop asks the whole group to end with sig and, after a while, makes it.
func (p *process) stop(sig syscall.Signal) error {
	group := -p.cmd.Process.Pid
	if err := syscall.Kill(group, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("mta: stop %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("mta: %s did not end within %v and was killed", p.cmd.Path, stopTimeout)
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // children that outlived their parent
	return nil
}

// ended returns an error with the end of the output when the process is no longer there.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("mta: %s ended early (%v): %s", filepath.Base(p.cmd.Path), p.err, tail(p.output))
	default:
		return nil
	}
}

// tail returns the end of a file, for an error message.
func tail(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// await waits until ready returns nil, the process ends, or patience does.
func (p *process) await(patience time.Duration, ready func() error) error {
	for limit := time.Now().Add(patience); ; time.Sleep(pollEvery) {
		err := ready()
		if err == nil {
			return nil
		}
		if gone := p.ended(); gone != nil {
			return gone
		}
		if time.Now().After(limit) {
			return fmt.Errorf("mta: %s not ready after %v: %w: %s", filepath.Base(p.cmd.Path), patience, err, tail(p.output))
		}
	}
}

// greets returns a function for await that wants an SMTP banner at addr.
func greets(addr string) func() error {
	return func() error {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "220") {
			err = fmt.Errorf("banner %q", line)
		}
		_, _ = conn.Write([]byte("QUIT\r\n"))
		return err
	}
}

// connects returns a function for await that wants a listener at addr.
func connects(addr string) func() error {
	return func() error {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// freeAddr returns an address of 127.0.0.1 nobody listens on right now. The servers started here cannot be asked which
// port they got, so it has to be chosen for them.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("mta: find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// openTo lets users other than root pass through dir and the directories above it, as far as they belong to root:
// test directories are closed to others, and a mail server works as another user.
func openTo(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("mta: %w", err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
				return fmt.Errorf("mta: let the mail server into %s: %w", dir, err)
			}
		}
	}
	return nil
}

// run executes a command that ends by itself and returns what it wrote to stdout; an error carries stderr.
func run(cmd *exec.Cmd) (string, error) {
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("mta: %s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return string(out), nil
}
