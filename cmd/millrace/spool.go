package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/snapshot"
)

// spoolCommand reads files, not the control socket: it is for the hour in which the daemon does not start.
func spoolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Read journal and snapshots without the daemon, or repair their directory",
		RunE:  needsCommand,
	}
	cmd.AddCommand(spoolVerifyCommand(), spoolDumpCommand(), spoolSalvageCommand())
	return cmd
}

// spoolVerifyCommand takes no lock, so that a cron job may run it beside the daemon. The record being written at that
// moment is not damage: Verify knows a commit that has not ended.
func spoolVerifyCommand() *cobra.Command {
	var where stateFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every record of the state directory",
		Long: `Check every record of journal and snapshots. The exit status is 0 if every record is sound; otherwise each
damage is printed and the exit status is 1. Nothing is changed, and a daemon may be running.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := where.dir()
			if err != nil {
				return err
			}
			if err := snapshot.Verify(dir); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: OK\n", dir)
			return nil
		},
	}
	where.addTo(cmd)
	return cmd
}

func spoolDumpCommand() *cobra.Command {
	var where stateFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Print every record of the state directory",
		Long: `Print every record of journal and snapshots, one a line. Each damage is a line too. Nothing is changed, and a daemon may
be running.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := where.dir()
			if err != nil {
				return err
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			err = snapshot.Dump(dir, w, asJSON)
			return errors.Join(err, w.Flush())
		},
	}
	where.addTo(cmd)
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print one JSON object a line")
	return cmd
}

// spoolSalvageCommand is a command of its own and no flag of serve: a start that repaired by itself would turn a wrong
// mount into a loss that nobody has agreed to.
func spoolSalvageCommand() *cobra.Command {
	var where stateFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "salvage",
		Short: "Repair a state directory with a missing or unreadable file",
		Long: `Repair a state directory that the daemon refuses because a file in it is missing or cannot be read. Every readable record
is kept, each loss is printed, and unreadable files are set aside as *.unreadable. Stop the daemon first, run this command
as the daemon's user, and keep a copy of the directory: another tool may still read what this program cannot.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := where.dir()
			if err != nil {
				return err
			}
			r, err := snapshot.Salvage(dir, daemon.NewLog(cmd.ErrOrStderr(), hclog.Warn))
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			return printSalvaged(cmd.OutOrStdout(), dir, &r)
		},
	}
	where.addTo(cmd)
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print one JSON object")
	return cmd
}

// printSalvaged prints each loss on a line of its own: an operator must see every one before starting the daemon again.
func printSalvaged(w io.Writer, dir string, r *snapshot.Report) error {
	for _, what := range slices.Concat(r.Missing, r.Damaged, r.Lost) {
		fmt.Fprintln(w, "lost:", what)
	}
	for _, what := range r.Notes {
		fmt.Fprintln(w, "note:", what)
	}
	_, err := fmt.Fprintf(w, "%s: %s; the daemon can be started\n", dir, r)
	return err
}

// stateFlags name a state directory. --state-dir is for the hour in which the configuration cannot be read either, and for
// a copy of the directory.
type stateFlags struct {
	config configFlag
	state  string
}

func (f *stateFlags) addTo(cmd *cobra.Command) {
	f.config.addTo(cmd)
	cmd.Flags().StringVar(&f.state, "state-dir", "", "the state `DIRECTORY`; else state_dir of the configuration")
}

// dir is the directory given, or the configuration's. A directory that no daemon ever used is a mistake: to call it empty
// and well would hide a wrong path.
func (f *stateFlags) dir() (string, error) {
	dir := f.state
	if dir == "" {
		cfg, err := config.Load(f.config.path())
		if err != nil {
			return "", err
		}
		dir = cfg.StateDir
	}
	if segments, _ := filepath.Glob(filepath.Join(dir, "journal", "*.seg")); len(segments) > 0 {
		return dir, nil // enough for salvage, even if every snapshot is lost
	}
	if _, err := os.ReadDir(filepath.Join(dir, "snapshot")); err != nil {
		return "", fmt.Errorf("%s is not the state directory of a daemon: %w", dir, err)
	}
	return dir, nil
}
