package mta

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/test/process"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

// start starts a server with its output in the file of this name, and returns when ready returns nil for each address.
func start(cmd *exec.Cmd, output string, ready func(addr string) func() error, addrs ...string) (*process.Process, error) {
	p, err := process.Start(cmd, output)
	if err != nil {
		return nil, fmt.Errorf("mta: %w", err)
	}
	for _, addr := range addrs {
		if err := p.Await(startTimeout, ready(addr)); err != nil {
			_ = stop(p, syscall.SIGKILL)
			return nil, fmt.Errorf("mta: %w", err)
		}
	}
	return p, nil
}

// stop ends a server and its children.
func stop(p *process.Process, sig syscall.Signal) error {
	if err := p.Stop(sig, stopTimeout); err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	return nil
}

// greets returns a function for start that wants an SMTP banner at addr.
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

// connects returns a function for start that wants a listener at addr.
func connects(addr string) func() error {
	return func() error {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// openTo lets other users than root pass through dir and the directories above it. A mail server works as another user,
// and the directories of tests are closed to others.
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

// run runs a command to its end and returns its stdout. The error quotes its stderr.
func run(cmd *exec.Cmd) (string, error) {
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("mta: %s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return string(out), nil
}
