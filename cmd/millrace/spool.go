package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/snapshot"
)

func (a *app) spoolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Read journal and snapshots without the daemon, or save what can be read",
		RunE:  needsCommand,
	}
	cmd.AddCommand(a.spoolVerifyCommand(), a.spoolDumpCommand(), a.spoolSalvageCommand())
	return cmd
}

func (a *app) spoolVerifyCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every record of the state directory",
		Long: `Check every record of journal and snapshots. The exit status is 0 when all is well; otherwise each thing that does not
check is printed and it is 1. Nothing is changed, and a daemon may be running.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.stateDir(dir)
			if err != nil {
				return err
			}
			if err := snapshot.Verify(dir); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: OK\n", dir)
			return nil
		},
	}
	a.addStateFlags(cmd, &dir)
	return cmd
}

func (a *app) spoolDumpCommand() *cobra.Command {
	var dir string
	var json bool
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Print every record of the state directory",
		Long: `Print every record of journal and snapshots, one a line. What does not check is a line of its own. Nothing is changed,
and a daemon may be running.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.stateDir(dir)
			if err != nil {
				return err
			}
			w := bufio.NewWriter(a.out)
			err = snapshot.Dump(dir, w, json)
			return errors.Join(err, w.Flush())
		},
	}
	a.addStateFlags(cmd, &dir)
	cmd.Flags().BoolVarP(&json, "json", "j", false, "print one JSON object a line")
	return cmd
}

func (a *app) spoolSalvageCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "salvage",
		Short: "Make a state directory usable again of which a file is missing or cannot be read",
		Long: `Make a state directory usable again of which a file is missing or cannot be read, so that the daemon refuses to start.
All that can be read is kept, and what is lost is printed. Files that cannot be read are set aside as *.unreadable. Stop
the daemon first, run this as its user, and keep a copy of the directory: it may hold what this program cannot read.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.stateDir(dir)
			if err != nil {
				return err
			}
			r, err := snapshot.Salvage(dir, a.newLog(hclog.Warn))
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(a.out).Encode(r)
			}
			return a.printSalvaged(dir, &r)
		},
	}
	a.addStateFlags(cmd, &dir)
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print one JSON object")
	return cmd
}

func (a *app) printSalvaged(dir string, r *snapshot.Report) error {
	for _, what := range slices.Concat(r.Missing, r.Damaged, r.Lost) {
		fmt.Fprintln(a.out, "lost:", what)
	}
	for _, what := range r.Notes {
		fmt.Fprintln(a.out, "note:", what)
	}
	_, err := fmt.Fprintf(a.out, "%s: %s; the daemon can be started\n", dir, r)
	return err
}

func (a *app) addStateFlags(cmd *cobra.Command, dir *string) {
	a.addConfigFlag(cmd)
	cmd.Flags().StringVar(dir, "state-dir", "", "the directory, if no configuration file is to be asked")
}

// stateDir is the directory given, or the configuration's. One in which no daemon ever was is a mistake, not an empty one.
func (a *app) stateDir(dir string) (string, error) {
	if dir == "" {
		cfg, err := daemon.Load(a.configPath())
		if err != nil {
			return "", err
		}
		dir = cfg.StateDir
	}
	if segments, _ := filepath.Glob(filepath.Join(dir, "journal", "*.seg")); len(segments) > 0 {
		return dir, nil // its snapshots may be what is lost
	}
	if _, err := os.ReadDir(filepath.Join(dir, "snapshot")); err != nil {
		return "", fmt.Errorf("%s is not the state directory of a daemon: %w", dir, err)
	}
	return dir, nil
}
