// Command millrace takes bulk mail off a Postfix or Sendmail and delivers it itself.
//
// Its exit status is one of sysexits(3), as with the MTAs it stands beside; see exit.go.
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
	os.Exit(newApp(os.Stdout, os.Stderr).execute(ctx, os.Args[1:]))
}
