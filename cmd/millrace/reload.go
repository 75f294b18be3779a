package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/console"
)

// errNeedsRestart is returned when the daemon has reloaded, and not all that the file says is in force.
var errNeedsRestart = errors.New("not everything in the file is in force: some keys need a restart")

func reloadCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration file again",
		Long: `Have the daemon read its configuration file again, and print each key that has changed. The daemon reads the file that it was
started with; -c only tells where its control socket is. A key that cannot change while the daemon runs keeps its value, and
the output says why. A file with mistakes changes nothing: each mistake is printed with its file, line and key.

The exit status is 0 if all that the file says is in force, 1 if a key needs a restart, 69 if the daemon is not reachable,
75 if the daemon is starting or stopping, and 78 for mistakes in the file.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := c.Reload(cmd.Context())
			if err != nil {
				return err
			}
			if flags.json {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			} else {
				err = printReloaded(cmd.OutOrStdout(), cmd.ErrOrStderr(), &r)
			}
			return errors.Join(err, verdict(&r))
		},
	}
	flags.addTo(cmd)
	return cmd
}

// verdict is the error that the exit status follows. The mistakes of the file are an error of the same type as those of "check".
func verdict(r *console.Reloaded) error {
	switch {
	case !r.Applied:
		return errorsOf(r.Errors)
	case len(r.Restart) > 0:
		return errNeedsRestart
	}
	return nil
}

// printReloaded writes one key a line. Warnings go to the standard error, as those of "check" do.
func printReloaded(out, warn io.Writer, r *console.Reloaded) error {
	for _, w := range errorsOf(r.Warnings) {
		fmt.Fprintln(warn, "warning:", w)
	}
	if !r.Applied {
		return nil // the mistakes are the command's error
	}
	var b strings.Builder
	for _, c := range r.Changed {
		fmt.Fprintf(&b, "changed  %s\n", becomes(c))
	}
	for _, c := range r.Restart {
		fmt.Fprintf(&b, "restart  %s: %s\n", becomes(c), clean(c.Why))
	}
	fmt.Fprintf(&b, "%s: reloaded, %d changed, %d need a restart\n", clean(r.File), len(r.Changed), len(r.Restart))
	_, err := io.WriteString(out, b.String())
	return err
}

// becomes is a key with the value it had and the value it has in the file. A domain of [route] may be new, or gone.
func becomes(c console.Change) string {
	old, now := clean(c.Old), clean(c.New)
	if old == "" {
		old = "(not given)"
	}
	if now == "" {
		now = "(not given)"
	}
	return fmt.Sprintf("%s = %s -> %s", clean(c.Key), old, now)
}

// errorsOf is a list of mistakes as errors of the configuration.
func errorsOf(list []console.Mistake) (errs config.Errors) {
	for _, m := range list {
		errs = append(errs, &config.Error{File: m.File, Line: m.Line, Column: m.Column, Key: m.Key, Text: m.Text})
	}
	return errs
}
