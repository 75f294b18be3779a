package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/snapshot"
)

func (a *app) spoolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Read journal and snapshots without the daemon",
		RunE:  needsCommand,
	}
	cmd.AddCommand(a.spoolVerifyCommand(), a.spoolDumpCommand())
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
	if _, err := os.ReadDir(filepath.Join(dir, "snapshot")); err != nil {
		return "", fmt.Errorf("%s is not the state directory of a daemon: %w", dir, err)
	}
	return dir, nil
}
