package rescue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/cmd/setup"
)

// postfix runs the commands of one Postfix.
type postfix struct {
	dir      string // of main.cf, from the root: "postfix reload" fails without a word for another path
	commands string // directory of the commands
}

func newPostfix(m *setup.MTA) *postfix {
	return &postfix{dir: m.Dir, commands: m.Postfix.Main["command_directory"]}
}

// command is one of Postfix's commands, for the configuration in dir.
func (p *postfix) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(p.commands, name), append([]string{"-c", dir}, args...)...)
}

// run runs a command to its end. The error has what it complains of.
func run(cmd *exec.Cmd) ([]byte, error) {
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(complaints.Bytes()))
	}
	return out, nil
}

// queue walks over the messages in all queues.
func (p *postfix) queue(ctx context.Context, each func(*Message)) error {
	cmd := p.command(ctx, p.dir, "postqueue", "-j")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	parsed := ParseQueue(out, each)
	if err := cmd.Wait(); err != nil && parsed == nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(complaints.Bytes()))
	}
	return parsed
}

// look is a setup.Lookup. postmap ends with 1 when it has found nothing.
func (p *postfix) look(ctx context.Context, table string, keys []string) (map[string]string, error) {
	cmd := p.command(ctx, p.dir, "postmap", "-q", "-", table)
	cmd.Stdin = strings.NewReader(strings.Join(keys, "\n") + "\n")
	out, err := run(cmd)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 && !bytes.Contains([]byte(err.Error()), []byte("fatal:")) {
		err = nil
	}
	got := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t"); ok {
			got[key] = value
		}
	}
	return got, err
}

// running reports whether Postfix runs.
func (p *postfix) running(ctx context.Context) bool {
	_, err := run(p.command(ctx, p.dir, "postfix", "status"))
	return err == nil
}

// reload has Postfix read its files again.
func (p *postfix) reload(ctx context.Context) error {
	_, err := run(p.command(ctx, p.dir, "postfix", "reload"))
	return err
}

// maxSingle is how many messages are flushed one by one at most, by a command for each. "postqueue -f" is one command, and tries also the
// mail that is not carried.
const maxSingle = 500

// flush has Postfix try messages now. of is how many are deferred.
func (p *postfix) flush(ctx context.Context, ids []string, of int) error {
	if len(ids) > maxSingle || 2*len(ids) > of {
		_, err := run(p.command(ctx, p.dir, "postqueue", "-f"))
		return err
	}
	for _, id := range ids {
		if _, err := run(p.command(ctx, p.dir, "postqueue", "-i", id)); err != nil && ctx.Err() == nil {
			continue // it has left the queue meanwhile
		} else if err != nil {
			return err
		}
	}
	return nil
}
