package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/daemon"
)

func upgradeCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Have the daemon replaced by the program on disk, and nobody notice",
		Long: `Have the daemon replaced by the program that stands at its path now. The process keeps its number, its listeners and the
connections of the MTA: whoever connects meanwhile waits for a moment, and nobody is refused. It is a restart too: every key
of the configuration is read.

First the daemon tries whether the program on disk can take over and finds no mistake in the configuration. If not, nothing
changes. Then deliveries under way finish, the journal is closed, and the program on disk begins. This command ends when the
new process answers. SIGUSR2 does the same as this command, and the daemon's log says how it went.

The exit status is 0 if the new process answers, 1 if the program on disk is not fit, 69 if the daemon is not reachable, and
75 if the daemon is starting or stopping, or goes on as it was.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), upgradeTime)
			defer cancel()
			s, err := c.Upgrade(ctx)
			if err != nil {
				return err
			}
			if flags.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s runs as process %d\n", clean(s.Version), s.PID)
			return err
		},
	}
	flags.addTo(cmd)
	return cmd
}

const (
	// upgradeTime is how long the command waits for the new process to answer: the time of the drain, and of a large journal.
	upgradeTime = 5 * time.Minute
	// tryTime bounds the try of the program on disk. It reads one file.
	tryTime = 20 * time.Second
)

// handoverForm is the form in which a process hands over, and which the next one must know. It is another number for what an older
// program cannot read.
const handoverForm = 1

// addTakesOver adds the flag by which a daemon asks the program on disk whether it can take over. A program that does not know the
// flag is too old, and ends with a wrong command line.
func addTakesOver(cmd *cobra.Command, form *int) {
	cmd.Flags().IntVar(form, "takes-over", handoverForm, "")
	_ = cmd.Flags().MarkHidden("takes-over") // the flag is there
}

// takesOver returns an error when this program cannot take over what is handed over in that form.
func takesOver(form int) error {
	if form != handoverForm {
		return fmt.Errorf("this program takes over in form %d, and the daemon hands over in form %d; restart the daemon", handoverForm, form)
	}
	return nil
}

// successor is the program on disk that this process gives way to.
type successor struct {
	path   string // of the program
	config string // its configuration
}

// newSuccessor finds the path of this program. It must be called before the file is replaced. The path by which the program was
// called comes first: it may be a link that leads to each new version in turn.
func newSuccessor(config string) successor {
	real, err := os.Executable()
	if called, lookErr := exec.LookPath(os.Args[0]); lookErr == nil && (err != nil || sameFile(called, real)) {
		if abs, err := filepath.Abs(called); err == nil {
			real = abs
		}
	}
	return successor{path: real, config: config}
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// try has the program check the configuration.
func (s successor) try() error {
	ctx, cancel := context.WithTimeout(context.Background(), tryTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, "check", "-c", s.config, "--takes-over", strconv.Itoa(handoverForm))
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == exitUsage:
		return fmt.Errorf("%s cannot take over from this version; restart the daemon", s.path)
	case ctx.Err() != nil:
		return fmt.Errorf("%s does not answer", s.path)
	case exit != nil:
		return fmt.Errorf("%s finds a mistake:\n%s", s.path, strings.TrimSpace(string(text)))
	}
	return err
}

// replace has the program take the place of this process. It returns only when that fails. Signals that mean nothing to a program that
// begins are ignored until it listens to them: they would end it.
func (s successor) replace(g *daemon.Given) error {
	env, err := g.Export()
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	err = syscall.Exec(s.path, os.Args, append(os.Environ(), env))
	g.Recall(env)
	return fmt.Errorf("run %s: %w", s.path, err)
}
