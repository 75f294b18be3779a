package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/daemon"
)

// drainTime is how long the first SIGTERM gives open transactions. The steps after it are short, so the whole stop stays
// within 30 seconds: the patience of most supervisors.
const drainTime = 20 * time.Second

// errForced is returned when a third signal cuts the stop itself short. Acknowledged messages are in the journal.
var errForced = errors.New("stopped by the third signal; the journal has the mail that waits")

// service is a *daemon.Daemon to the signals; tests drive a fake.
type service interface {
	Start() error
	Reload(*config.Config) error
	Reopen() error
	Stop(context.Context) error
}

// opener makes the service of a configuration on a machine.
type opener func(daemon.Machine, *config.Config, hclog.Logger) (service, error)

// openDaemon makes the service of the real program. It is a function and not daemon.New itself, because a nil *Daemon in a
// service would not compare equal to nil.
func openDaemon(m daemon.Machine, cfg *config.Config, log hclog.Logger) (service, error) {
	d, err := daemon.NewOn(m, cfg, log)
	if err != nil {
		return nil, err
	}
	d.LimitProcess()
	return d, nil
}

func serveCommand(open opener) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon, in the foreground",
		Long: `Run the daemon in the foreground until a signal ends it.

SIGTERM, SIGINT   finish open transactions, save the waiting mail and exit; a second one cuts the transactions off
SIGHUP            read the configuration again; a file with mistakes changes nothing
SIGUSR1           open the mail log again, after it was rotated

The exit status is 0 after a clean stop, 75 if an obstacle may pass (a port in use, another daemon on the state
directory), 77 without permission and 78 for a mistake in the configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(file.path(), cmd.ErrOrStderr(), open)
		},
	}
	file.addTo(cmd)
	return cmd
}

// serve prepares for signals before the daemon is made: a signal during a long recovery waits in the channel and is served
// afterwards.
func serve(path string, logTo io.Writer, open opener) error {
	given, err := daemon.Receive()
	if err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	log := daemon.NewLog(logTo, cfg.Log.LogLevel())
	signals := make(chan os.Signal, 8) // room for all that arrive during a recovery: Notify drops a signal that finds none
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)
	s, err := open(daemon.Machine{Given: given}, cfg, log)
	if err != nil {
		return err
	}
	watchdog, stop := watchdog()
	defer stop()
	r := &runner{service: s, path: path, log: log, signals: signals, watchdog: watchdog, notify: notifySystemd}
	return r.run()
}

// watchdog ticks twice in the time that systemd allows between two signs of life. It never ticks when systemd asks for
// none.
func watchdog() (<-chan time.Time, func()) {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(interval / 2)
	return t.C, t.Stop
}

// notifySystemd does nothing when systemd did not start us. Its error is dropped: the daemon works without systemd.
func notifySystemd(state string) { _, _ = systemd.SdNotify(false, state) }

// runner drives a service by signals. It runs on one goroutine, the command's own, so reload, reopen and stop never
// overlap.
type runner struct {
	service  service
	path     string
	log      hclog.Logger
	signals  <-chan os.Signal
	watchdog <-chan time.Time
	notify   func(state string)
}

// run returns when the service has stopped. The watchdog's tick is answered in the same loop that serves signals: a reload
// that hangs stops the ticks, and systemd starts the daemon anew.
func (r *runner) run() error {
	if err := r.service.Start(); err != nil {
		return err
	}
	r.notify(systemd.SdNotifyReady)
	for {
		select {
		case <-r.watchdog:
			r.notify(systemd.SdNotifyWatchdog)
		case sig := <-r.signals:
			switch sig {
			case syscall.SIGHUP:
				r.reload()
			case syscall.SIGUSR1:
				r.reopen()
			default:
				return r.stop(sig)
			}
		}
	}
}

// reload says READY in any case: the daemon goes on, at worst with the configuration it had, and systemd must not wait.
func (r *runner) reload() {
	r.notify(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
	cfg, err := config.Load(r.path)
	if err == nil {
		err = r.service.Reload(cfg)
	}
	status := "configuration reloaded"
	if err != nil {
		status = "reload refused; the configuration before it stays in force"
		for line := range strings.Lines(err.Error()) {
			r.log.Error(status, "error", strings.TrimSpace(line))
		}
	}
	r.notify(systemd.SdNotifyReady + "\nSTATUS=" + status)
}

// reopen keeps the old file in use after an error: a mail log in a rotated file is better than none.
func (r *runner) reopen() {
	if err := r.service.Reopen(); err != nil {
		r.log.Error("mail log not opened again; the old one stays in use", "error", err)
	}
}

// stop drains. It keeps listening to signals, so that a second one can hurry the drain and a third can end it.
func (r *runner) stop(first os.Signal) error {
	r.log.Info("signal", "signal", first)
	r.notify(systemd.SdNotifyStopping)
	ctx, hurry := context.WithTimeout(context.Background(), drainTime)
	defer hurry()
	done := make(chan error, 1)
	go func() { done <- r.service.Stop(ctx) }() // ends with the service's Stop; the third signal leaves it behind
	for {
		select {
		case err := <-done:
			return stopError(err)
		case <-r.watchdog:
			r.notify(systemd.SdNotifyWatchdog)
		case sig := <-r.signals:
			if sig == syscall.SIGHUP || sig == syscall.SIGUSR1 {
				continue // no wish to hurry: log rotation may come during the drain
			}
			if ctx.Err() != nil {
				return errForced
			}
			r.log.Warn("second signal: open transactions are cut off", "signal", sig)
			hurry()
		}
	}
}

// stopError drops the errors of transactions that were cut off in the end. They are no failure: the messages they carried
// are queued and saved.
func stopError(err error) error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var rest []error
		for _, err := range all.Unwrap() {
			rest = append(rest, stopError(err))
		}
		return errors.Join(rest...)
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("stop: %w", err)
}
