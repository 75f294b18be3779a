//go:build !nodemo

package main

import (
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/demo"
)

// addDemo adds the demonstration. It links the sink and the stand-in MTA of the tests. A mail server has no use for them,
// so a packager leaves them out with -tags nodemo.
func addDemo(root *cobra.Command) {
	root.Long += "\n\n" + `"millrace demo" shows it at work on this machine without touching anything.`
	root.AddCommand(demoCommand())
}

func demoCommand() *cobra.Command {
	o := demo.DefaultOptions()
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show Millrace at work on this machine, with an MTA and an internet of its own",
		Long: `Start the daemon as "serve" does, in a directory of its own, with a stand-in MTA that speaks the milter protocol to it
and an internet of SMTP servers on loopback: fast, slow, greylisting, refusing, closing and dead ones. Send a campaign
through it, and count the messages taken against the messages that arrived, byte for byte. Nothing leaves this machine.

With --no-mta there is no MTA at all: an application hands the campaign in by SMTP, and notifications of failures go to the MX of
its return path.

The exit status is 0 if no message was lost, doubled or altered.`,
		Example: "  millrace demo --messages 100000 --domains 50\n  millrace demo --no-mta",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return usageError{err}
			}
			o.Out, o.Progress = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Messages, "messages", o.Messages, "messages of the campaign, one recipient each")
	f.IntVar(&o.Size, "size", o.Size, "bytes of a message")
	f.IntVar(&o.Domains, "domains", o.Domains, "receiving domains; the first six differ in character, the others are fast")
	f.Float64Var(&o.Personal, "personal", o.Personal, "share of the body that differs from message to message (0 to 1)")
	f.DurationVar(&o.Wait, "wait", o.Wait, "longest wait for deliveries after the last message was taken")
	f.BoolVar(&o.NoMTA, "no-mta", false, "have an application hand the messages in by SMTP, without an MTA")
	f.BoolVarP(&o.JSON, "json", "j", false, "print one JSON object instead of the table")
	return cmd
}
