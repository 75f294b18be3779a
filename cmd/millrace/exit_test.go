package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/snapshot"
)

func TestExitStatus(t *testing.T) {
	inUse := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{console.ErrNotFound, 1},
		{context.Canceled, 1},
		{usageError{errors.New("unknown flag")}, 64},
		{fmt.Errorf("hold: %w", console.Refusal("lane: is no lane")), 64},
		{fmt.Errorf("%w: no message", errNoneMeant), 1},
		{console.ErrNoDrain, 1},
		{fmt.Errorf("%w: %w", console.ErrActUnknown, context.Canceled), 1},
		{fmt.Errorf("status: %w", console.ErrUnreachable), 69},
		{inUse, 75},
		{fmt.Errorf("control socket: %w", console.ErrInUse), 75},
		{fmt.Errorf("state directory: %w", snapshot.ErrLocked), 75},
		{context.DeadlineExceeded, 75},
		{&os.PathError{Op: "open", Path: "/var/lib/millrace", Err: syscall.EACCES}, 77},
		{config.Errors{{Key: "mode"}}, 78},
		{errors.Join(config.Errors{{Key: "mode"}}, os.ErrPermission), 78},
	} {
		if got := exitStatus(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
}
