package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
)

// program is the command line with its outputs and its daemon. It has no global state, so that tests run many in one
// process.
type program struct {
	out, err io.Writer
	open     opener // of serve; tests put a fake here
}

// execute runs one command line and returns the exit status. Only main may call os.Exit: deferred functions must run.
func (p program) execute(ctx context.Context, args []string) int {
	root := p.rootCommand()
	// Cobra calls PersistentPreRun when flags and arguments are right: an error before it is a wrong command line.
	understood := false
	root.PersistentPreRun = func(*cobra.Command, []string) { understood = true }
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !understood {
		err = usageError{err} // the flag parser's errors have no type of their own
	}
	p.printError(cmd, err)
	return exitStatus(err)
}

// printError prints one line for each mistake of a configuration, and one line for any other error.
func (p program) printError(cmd *cobra.Command, err error) {
	var mistakes config.Errors
	switch {
	case err == nil:
	case errors.As(err, &mistakes):
		fmt.Fprintln(p.err, mistakes) // each line begins with the file, so that editors find the place
	default:
		fmt.Fprintf(p.err, "millrace: %v\n", err)
	}
	if errors.As(err, new(usageError)) {
		fmt.Fprintf(p.err, "Try '%s --help'.\n", cmd.CommandPath())
	}
}

// rootCommand makes a new tree for each run: cobra keeps the values of flags in its commands.
func (p program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "millrace",
		Short: "Deliver bulk mail beside Postfix or Sendmail",
		Long: `Millrace takes bulk mail off a Postfix or Sendmail through the milter protocol, keeps it in memory queues with a
journal behind them, and delivers it itself. All other mail stays with the MTA.`,
		Example: `  millrace check -c millrace.toml          find every mistake in a configuration
  millrace check --mta                     see what Millrace would bypass beside this host's MTA
  millrace serve -c millrace.toml          run the daemon
  millrace status                          see doors, queues, connections and journal in numbers
  millrace queue show 4bXyZ1               see why a message waits, by the MTA's queue id
  millrace trace joe@example.com           see what became of a message, also after it has left
  millrace sites example.com               see how fast a receiver is fed, and who says so
  millrace queue hold --campaign autumn    let a campaign wait, until "millrace queue release"
  millrace pause --site gmail --for 2h     send nothing to a receiver for a while
  millrace events -f --kind bounce         see what fails, as it happens
  millrace rescue --dry-run                see what is stuck in Postfix's queue, before Millrace takes it over
  millrace drain                           take no more mail, and send or hand back all that waits`,
		SilenceErrors: true, // execute prints them
		SilenceUsage:  true, // a hint is enough; the whole help would hide the error
		RunE:          needsCommand,
	}
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.AddCommand(
		serveCommand(p.open), checkCommand(), statusCommand(), reloadCommand(), upgradeCommand(),
		queueCommand(), sitesCommand(), wrappersCommand(), explainCommand(),
		pauseCommand(), resumeCommand(), pausesCommand(), drainCommand(), undrainCommand(), rescueCommand(),
		campaignsCommand(), campaignCommand(), statsCommand(), eventsCommand(), traceCommand(),
		preflightCommand(), licenceCommand(),
		spoolCommand(), passwordCommand(), versionCommand(),
	)
	addDemo(root)
	return root
}
