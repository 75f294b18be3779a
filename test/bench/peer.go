package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/millrace/millrace/test/process"
)

// roleEnv names the role that this program plays when it has started itself. A peer is a process of its own, as the daemon is, so
// that both meet the kernel in the same way and the processor time of each is known.
const roleEnv = "MILLRACE_BENCH_ROLE"

// roles are what this program can be beside the command that measures. Each is given the arguments of its process, and runs until
// it is killed.
func roles() map[string]func(args []string) error {
	return map[string]func(args []string) error{
		"sink":     serveSink,
		"milter":   serveMilter,
		"millrace": serveProfiled,
	}
}

// playRole runs the role that this process was started for, and reports whether there is one.
func playRole() bool {
	play := roles()[os.Getenv(roleEnv)]
	if play == nil {
		return false
	}
	if err := play(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	return true
}

// startPeer starts this program in a role and waits until it listens at an address, host:port or the path of a unix socket.
func startPeer(dir, role, addr string, args ...string) (*process.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{addr}, args...)...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	p, err := process.Start(cmd, filepath.Join(dir, role+".out"))
	if err != nil {
		return nil, err
	}
	err = p.Await(10*time.Second, func() error {
		nc, err := net.Dial(networkOf(addr), addr)
		if err == nil {
			err = nc.Close()
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, p.Stop(syscall.SIGKILL, 5*time.Second))
	}
	return p, nil
}

// endPeer kills a peer. It keeps nothing.
func endPeer(p *process.Process) error { return p.Stop(syscall.SIGKILL, 5*time.Second) }

// networkOf is the network of an address: the path of a unix socket begins with a slash.
func networkOf(addr string) string {
	if filepath.IsAbs(addr) {
		return "unix"
	}
	return "tcp"
}
