package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/licence"
)

func licenceInstallCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "install FILE",
		Short: "Put a licence in force",
		Long: `Check a licence, put it into the state directory in the place of the old one, and have the daemon take it over. A licence that is
forged, foreign, expired or not yet valid is refused by name, and the old one stays. The daemon need not run.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(flags.config.path())
			if err != nil {
				return err
			}
			l, text, err := readLicence(cfg, args[0])
			if err != nil {
				return err
			}
			if err := l.Check(time.Now(), cfg.Hostname, installation(usageOf(cmd.Context(), &flags), &l)); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := licence.Install(cfg.StateDir, text); err != nil {
				return fmt.Errorf("the licence could not be installed: %w", err)
			}
			return installed(cmd, &flags, &l)
		},
	}
	flags.addTo(cmd)
	return cmd
}

// installed has the daemon take over the licence. One that does not run takes it at its start.
func installed(cmd *cobra.Command, flags *clientFlags, l *licence.Licence) error {
	c, err := flags.client()
	if err != nil {
		return err
	}
	defer c.Close()
	in := fmt.Sprintf("licence %s of %s is installed", clean(l.Serial), clean(l.Licensee))
	r, err := c.Reload(cmd.Context())
	switch {
	case errors.Is(err, console.ErrUnreachable):
		_, err := io.WriteString(cmd.OutOrStdout(), in+"; the daemon takes it over when it starts\n")
		return err
	case err != nil:
		return fmt.Errorf("%s, but the daemon could not be told: %w", in, err)
	case !r.Applied:
		return fmt.Errorf("%s, but the daemon takes it over only when its configuration is right:\n%w", in, errorsOf(r.Errors))
	}
	_, err = io.WriteString(cmd.OutOrStdout(), in+" and in force\n")
	return err
}
