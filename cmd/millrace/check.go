package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
)

// checkCommand starts nothing and needs no permission but to read the file, so that a script can run it before a reload.
func checkCommand() *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file",
		Long: `Check a configuration file and print each mistake with its file, line and key. The exit status is 0 if there is no
mistake and 78 otherwise. A warning, for instance about a source address that this host does not have, is printed too and
does not change the exit status. Nothing is started and nothing is changed.`,
		Example: "  millrace check -c millrace.toml && systemctl reload millrace",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			warnings, err := config.Check(file.path())
			if err != nil {
				return err
			}
			// Warnings go to the standard error: the standard output of a script that expects OK stays the same.
			for _, w := range warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: OK\n", file.path())
			return nil
		},
	}
	file.addTo(cmd)
	return cmd
}
