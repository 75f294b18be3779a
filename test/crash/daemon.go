package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/snapshot"
)

// patience bounds everything that should take a moment.
const patience = 60 * time.Second

// daemon is millrace as a process, started and ended many times over one state directory.
type daemon struct {
	bin   string
	dir   string // configuration, sockets, log
	state string // the state directory
	env   []string
	tap   *tap // its system calls pass through, when not nil

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	err   error         // its end; valid when ended is closed
	log   *os.File
	from  int64 // where in the log this start begins
}

func (d *daemon) config() string { return filepath.Join(d.dir, "millrace.toml") }
func (d *daemon) socket() string { return filepath.Join(d.dir, "control.sock") }
func (d *daemon) door() string   { return filepath.Join(d.dir, "milter.sock") }
func (d *daemon) logFile() string {
	return filepath.Join(d.dir, "stderr")
}
func (d *daemon) mailLog() string { return filepath.Join(d.dir, "mail.log") }

// start starts the process and returns at once.
func (d *daemon) start() error {
	log, err := os.OpenFile(d.logFile(), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if d.from, err = log.Seek(0, 2); err != nil {
		return errors.Join(err, log.Close())
	}
	cmd := exec.Command(d.bin, "serve", "-c", d.config())
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Stderr, cmd.Stdout = log, log
	if d.tap != nil {
		err = d.tap.launch(cmd)
	} else {
		err = cmd.Start()
	}
	if err != nil {
		return errors.Join(err, log.Close())
	}
	d.cmd, d.log, d.ended, d.err = cmd, log, make(chan struct{}), nil
	go d.reap(cmd, d.ended) // ends with the process
	return nil
}

func (d *daemon) reap(cmd *exec.Cmd, ended chan struct{}) {
	d.err = cmd.Wait()
	close(ended)
}

// over reports whether the process has ended.
func (d *daemon) over() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// errEnded is returned when the daemon ended by itself.
var errEnded = errors.New("millrace ended by itself")

// ready waits until the daemon has recovered and answers.
func (d *daemon) ready() (snapshot.Status, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if d.over() {
			return snapshot.Status{}, fmt.Errorf("%w: %v: %s", errEnded, d.err, d.lastLine())
		}
		if _, journal, err := d.status(); err == nil && journal.Recovered {
			return journal, nil
		}
	}
	return snapshot.Status{}, fmt.Errorf("millrace is not ready after %s: %s", patience, d.lastLine())
}

// status asks the control socket.
func (d *daemon) status() (console.Status, snapshot.Status, error) {
	c := console.NewClient(d.socket())
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	st, err := c.Status(ctx)
	var journal snapshot.Status
	if err != nil {
		return st, journal, err
	}
	text, err := json.Marshal(st.Journal)
	if err != nil {
		return st, journal, err
	}
	return st, journal, json.Unmarshal(text, &journal)
}

// waiting lists the recipients that wait, by the sender of their message.
func (d *daemon) waiting() (map[pair]bool, error) {
	c := console.NewClient(d.socket())
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all := make(map[pair]bool)
	for l, err := range c.Messages(ctx, console.Filter{}) {
		if err != nil {
			return nil, err
		}
		if id, ok := idOfSender(l.Sender); ok {
			for _, r := range l.Recipients {
				all[pair{id, r.Address}] = true
			}
		}
	}
	return all, nil
}

// signal sends sig and returns at once. A process that has ended already does not mind.
func (d *daemon) signal(sig syscall.Signal) { _ = d.cmd.Process.Signal(sig) }

// kill ends it as a crash would, and returns when it is gone.
func (d *daemon) kill() error {
	d.signal(syscall.SIGKILL)
	return d.gone(patience)
}

// stop sends SIGTERM and returns its exit status.
func (d *daemon) stop(limit time.Duration) error {
	d.signal(syscall.SIGTERM)
	if err := d.gone(limit); err != nil {
		return err
	}
	return d.err
}

// gone waits for the end of the process; one that outlives limit is killed, and that is an error.
func (d *daemon) gone(limit time.Duration) error {
	defer d.log.Close()
	select {
	case <-d.ended:
		return nil
	case <-time.After(limit):
		d.signal(syscall.SIGKILL)
		<-d.ended
		return fmt.Errorf("millrace did not end within %s: %s", limit, d.lastLine())
	}
}

// said is the log of the present or last start.
func (d *daemon) said() string {
	b, err := os.ReadFile(d.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b[min(d.from, int64(len(b))):])
}

// lastLine is the last line of the log.
func (d *daemon) lastLine() string {
	lines := strings.Split(strings.TrimSpace(d.said()), "\n")
	return lines[len(lines)-1]
}

// lastWords are the lines that a daemon leaves for whoever started it, beside its log.
func (d *daemon) lastWords() []string {
	var lines []string
	for line := range strings.Lines(d.said()) {
		if strings.HasPrefix(line, "millrace: ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// complaints returns what no daemon may ever say, from its whole log.
func (d *daemon) complaints() []string {
	b, err := os.ReadFile(d.logFile())
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if i := bytes.Index(b, []byte(bad)); i >= 0 {
			found = append(found, "the daemon's log: "+string(b[i:min(i+300, len(b))]))
		}
	}
	return found
}

// build compiles the daemon. overlay is a file for go build -overlay, or "".
func build(dir, overlay string) (string, error) {
	bin := filepath.Join(dir, "millrace")
	args := []string{"build", "-o", bin}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, "github.com/millrace/millrace/cmd/millrace")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build millrace: %w\n%s", err, out)
	}
	return bin, nil
}
