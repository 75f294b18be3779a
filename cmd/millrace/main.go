// Command millrace takes bulk mail off a Postfix or Sendmail and delivers it itself.
//
// Each file holds one subcommand: its flags, its help text and its output. The commands stay thin: the daemon, the numbers
// and the formats live in other packages. Tests fix the form of the output for people. The output of --json is for scripts:
// a key never changes its meaning.
//
// The exit status is one of sysexits(3), as with the MTAs that Millrace stands beside; see exit.go.
//
// # Why the socket and not the files
//
// Every command that asks about a running daemon asks it through the control socket. The files in the state directory show
// the past, and the reason why a message waits is in no file. Only "spool" reads the files: it is for the hour in which
// there is no daemon to ask.
//
// # Text from outside
//
// Addresses, replies and queue ids come from strangers. The output for people passes each through clean, so that nobody can
// send a command to an operator's terminal by mail.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends a command that does not heed the first
	p := program{out: os.Stdout, err: os.Stderr, open: openDaemon}
	os.Exit(p.execute(ctx, os.Args[1:]))
}
