package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/snapshot"
)

// Exit statuses, from sysexits(3).
const (
	exitOK          = 0
	exitFailed      = 1  // a check failed, a message was not found, or anything that has no number of its own
	exitUsage       = 64 // wrong command, flag or argument
	exitUnavailable = 69 // the daemon is not reachable
	exitTryLater    = 75 // something is in the way that may pass: a port in use, another daemon
	exitPermission  = 77
	exitConfig      = 78 // systemd is told not to restart on this one
)

// usageError is a command line that cannot be meant.
type usageError struct{ error }

// exitStatus is the number for what a command returned.
func exitStatus(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.As(err, new(daemon.ConfigErrors)):
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

func isTemporary(err error) bool {
	for _, t := range []error{syscall.EADDRINUSE, console.ErrInUse, snapshot.ErrLocked, context.DeadlineExceeded} {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
