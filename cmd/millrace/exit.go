package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/snapshot"
)

// Exit statuses, from sysexits(3). They are part of the interface: systemd and scripts decide by them.
const (
	exitOK          = 0
	exitFailed      = 1  // a check failed, a message was not found, or any error without a number of its own
	exitUsage       = 64 // wrong command, flag or argument: a script is wrong, not the daemon
	exitUnavailable = 69 // the daemon is not reachable
	exitTryLater    = 75 // an obstacle that may pass: a port in use, another daemon
	exitPermission  = 77 // not exitUnavailable: the daemon may be well, only this user may not ask it
	exitConfig      = 78 // the unit file tells systemd not to restart: only a human can repair it
)

// usageError is a wrong command line. A hint at the help follows its text. Other errors get no hint: the help cannot mend
// them.
type usageError struct{ error }

// needsCommand is the action of a command that only has commands below it. Cobra would print the help and exit with 0, so
// that a mistyped command in a script would pass for a success.
func needsCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
	}
	return usageError{fmt.Errorf("%q needs a command", cmd.CommandPath())}
}

// exitStatus is the number for the error that a command returned. A mistake in the configuration comes before any other
// cause: a restart does not help against it.
func exitStatus(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usageError)), errors.As(err, new(console.Refusal)):
		return exitUsage
	case errors.As(err, new(config.Errors)):
		return exitConfig
	case errors.Is(err, console.ErrUnreachable):
		return exitUnavailable
	case errors.Is(err, fs.ErrPermission):
		return exitPermission
	case isTemporary(err):
		return exitTryLater
	default:
		return exitFailed
	}
}

// isTemporary reports whether the same command may succeed a little later without anybody's help. The service manager then
// starts the daemon again.
func isTemporary(err error) bool {
	for _, t := range []error{syscall.EADDRINUSE, console.ErrInUse, console.ErrNotNow, snapshot.ErrLocked, daemon.ErrHandover, context.DeadlineExceeded} {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
