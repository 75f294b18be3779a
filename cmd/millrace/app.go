package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/relay/console"
)

const defaultConfig = "/etc/millrace/millrace.toml"

// app is the command line: what the flags say, and where the output goes.
type app struct {
	out, err io.Writer
	open     func(*daemon.Config, hclog.Logger) (service, error) // makes what serve runs; tests put a fake here

	config string // -c
	socket string // --socket
	json   bool   // -j
	begun  bool   // the command line was understood
}

func newApp(out, err io.Writer) *app {
	return &app{out: out, err: err, open: openDaemon}
}

// execute runs one command line and returns the exit status.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.begun {
		err = usageError{err} // the flag parser has no type of its own for them
	}
	a.report(cmd, err)
	return exitStatus(err)
}

// report prints an error: one line for each mistake of a configuration, one for anything else.
func (a *app) report(cmd *cobra.Command, err error) {
	var mistakes daemon.ConfigErrors
	switch {
	case err == nil:
	case errors.As(err, &mistakes):
		fmt.Fprintln(a.err, mistakes)
	default:
		fmt.Fprintf(a.err, "millrace: %v\n", err)
	}
	if errors.As(err, new(usageError)) {
		fmt.Fprintf(a.err, "Try '%s --help'.\n", cmd.CommandPath())
	}
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "millrace",
		Short: "Deliver bulk mail beside Postfix or Sendmail",
		Long: `Millrace takes bulk mail off a Postfix or Sendmail through the milter protocol, keeps it in memory queues with a
journal behind them, and delivers it itself. Everything else stays with the MTA.

"millrace demo" shows it at work on this machine without touching anything.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.begun = true
		},
		RunE: needsCommand,
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.AddCommand(a.serveCommand(), a.checkCommand(), a.statusCommand(), a.queueCommand(), a.spoolCommand(), newDemoCommand(), a.versionCommand())
	return root
}

// needsCommand is what a command does that only has commands below it.
func needsCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
	}
	return usageError{fmt.Errorf("%q needs a command", cmd.CommandPath())}
}

func (a *app) addConfigFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&a.config, "config", "c", "",
		"configuration `FILE`; else $MILLRACE_CONFIG, else "+defaultConfig)
}

// addClientFlags is for commands that ask a running daemon.
func (a *app) addClientFlags(cmd *cobra.Command) {
	a.addConfigFlag(cmd)
	cmd.Flags().StringVar(&a.socket, "socket", "",
		"control socket `PATH`; else $MILLRACE_SOCKET, else control.socket of the configuration")
	a.addJSONFlag(cmd)
}

func (a *app) addJSONFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.json, "json", "j", false, "print JSON, one object a line")
}

// configPath is the file to load.
func (a *app) configPath() string {
	return cmp.Or(a.config, os.Getenv("MILLRACE_CONFIG"), defaultConfig)
}

// client is connected to the daemon that the flags, the environment or the configuration name. Only a configuration
// that was asked for has to be right: the daemon's own may be unreadable to the user, or broken just now.
func (a *app) client() (*console.Client, error) {
	if path := cmp.Or(a.socket, os.Getenv("MILLRACE_SOCKET")); path != "" {
		return console.NewClient(path), nil
	}
	cfg, err := daemon.Load(a.configPath())
	switch {
	case err == nil:
		return console.NewClient(cfg.Control.Socket), nil
	case a.configPath() != defaultConfig:
		return nil, err
	}
	return console.NewClient(console.DefaultConfig().Socket), nil
}
