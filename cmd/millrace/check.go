package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/daemon"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file",
		Long: `Check a configuration file and print each mistake with its file, line and key. The exit status is 0 when there is none
and 78 otherwise. Nothing is started and nothing is changed.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path := a.configPath()
			if _, err := daemon.Load(path); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: OK\n", path)
			return nil
		},
	}
	a.addConfigFlag(cmd)
	return cmd
}
