package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/relay/console"
)

// patience bounds everything that should take a moment.
const patience = 30 * time.Second

// Build compiles the millrace command into dir and returns its path. With race it reports data races and exits 66.
func Build(dir string, race bool) (string, error) {
	bin := filepath.Join(dir, "millrace")
	args := []string{"build", "-o", bin}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/millrace/millrace/cmd/millrace")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build millrace: %w\n%s", err, out)
	}
	return bin, nil
}

// Daemon is millrace as a process of its own, as an administrator runs it.
type Daemon struct {
	Dir    string // configuration, state, logs, control socket
	Milter string // host:port of its milter door

	bin    string
	cmd    *exec.Cmd
	ended  chan error
	stderr *os.File
	inject string
}

// NewDaemon writes a configuration below dir. extra is appended to it.
func NewDaemon(bin, dir, inject, extra string) (*Daemon, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	d := &Daemon{Dir: dir, Milter: addr, bin: bin}
	config := fmt.Sprintf(`hostname = "millrace.test"
state_dir = %q
mode = "deliver"
milter.listen = ["inet:%s"]
bounce.inject = %q
control.socket = %q
log.mail = %q
%s`, filepath.Join(dir, "state"), addr, NextHop(inject), d.Socket(), d.mailLog(), extra)
	return d, os.WriteFile(d.config(), []byte(config), 0o600)
}

// NextHop is host:port in Postfix's syntax for a host that is not looked up.
func NextHop(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return "[" + host + "]:" + port
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// Socket is the path of the control socket.
func (d *Daemon) Socket() string  { return filepath.Join(d.Dir, "control.sock") }
func (d *Daemon) config() string  { return filepath.Join(d.Dir, "millrace.toml") }
func (d *Daemon) mailLog() string { return filepath.Join(d.Dir, "mail.log") }

// Replace changes the configuration file; it takes effect with the next start or reload.
func (d *Daemon) Replace(old, new string) error {
	text, err := os.ReadFile(d.config())
	if err != nil {
		return err
	}
	return os.WriteFile(d.config(), bytes.ReplaceAll(text, []byte(old), []byte(new)), 0o600)
}

// Start runs "millrace serve" and returns when it answers at its control socket.
func (d *Daemon) Start() error {
	out, err := os.OpenFile(filepath.Join(d.Dir, "stderr"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	d.stderr = out
	d.cmd = exec.Command(d.bin, "serve", "-c", d.config())
	d.cmd.Stderr, d.cmd.Stdout = out, out
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.ended = make(chan error, 1)
	go func(c *exec.Cmd, ended chan<- error) { ended <- c.Wait() }(d.cmd, d.ended) // ends with the process
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-d.ended:
			d.ended <- err
			return fmt.Errorf("millrace serve ended: %v\n%s", err, d.Stderr())
		default:
		}
		if _, err := d.Status(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("millrace serve does not answer after %s\n%s", patience, d.Stderr())
}

// Status asks the control socket.
func (d *Daemon) Status() (console.Status, error) {
	c := console.NewClient(d.Socket())
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.Status(ctx)
}

// Signal sends sig and returns at once.
func (d *Daemon) Signal(sig syscall.Signal) error { return d.cmd.Process.Signal(sig) }

// Stop sends SIGTERM and waits for the end. The error is the exit status, or that it took longer than limit.
func (d *Daemon) Stop(limit time.Duration) error {
	if err := d.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return d.wait(limit)
}

// Kill ends it as a crash would.
func (d *Daemon) Kill() error {
	if err := d.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = d.wait(patience) // the exit status of a killed process is no news
	return nil
}

func (d *Daemon) wait(limit time.Duration) error {
	defer d.stderr.Close()
	select {
	case err := <-d.ended:
		d.ended <- err
		if err != nil {
			return fmt.Errorf("millrace: %w\n%s", err, d.Stderr())
		}
		return nil
	case <-time.After(limit):
		return errors.Join(fmt.Errorf("millrace still runs %s after SIGTERM", limit), d.cmd.Process.Kill())
	}
}

// Command runs another millrace command against this daemon and returns what it prints.
func (d *Daemon) Command(args ...string) (string, error) {
	cmd := exec.Command(d.bin, args...)
	cmd.Env = append(os.Environ(), "MILLRACE_CONFIG="+d.config(), "MILLRACE_SOCKET="+d.Socket())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Stderr is the technical log so far.
func (d *Daemon) Stderr() string { return read(filepath.Join(d.Dir, "stderr")) }

// MailLog is the mail log so far.
func (d *Daemon) MailLog() string { return read(d.mailLog()) }

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(bytes.TrimSpace(b)), "?")
}
