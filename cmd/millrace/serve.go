package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/daemon"
)

// drainTime is how long the first SIGTERM gives open transactions. With what follows it stays within 30 seconds.
const drainTime = 20 * time.Second

// errForced is returned when a third signal cuts the stop itself short. What was acknowledged is in the journal.
var errForced = errors.New("stopped by the third signal; the journal has what waits")

// service is what serve drives: a *daemon.Daemon.
type service interface {
	Start() error
	Reload(*daemon.Config) error
	Reopen() error
	Stop(context.Context) error
}

func openDaemon(cfg *daemon.Config, log hclog.Logger) (service, error) {
	d, err := daemon.New(cfg, log)
	if err != nil {
		return nil, err // and not a nil *Daemon in a service that is not nil
	}
	return d, nil
}

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon, in the foreground",
		Long: `Run the daemon in the foreground until a signal ends it.

SIGTERM, SIGINT   finish open transactions, save what waits and exit; a second one cuts the transactions off
SIGHUP            read the configuration again; a file with mistakes changes nothing
SIGUSR1           open the mail log again, after it was rotated`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.serve() },
	}
	a.addConfigFlag(cmd)
	return cmd
}

func (a *app) serve() error {
	path := a.configPath()
	cfg, err := daemon.Load(path)
	if err != nil {
		return err
	}
	log := a.newLog(cfg.Log.LogLevel())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)
	s, err := a.open(cfg, log)
	if err != nil {
		return err
	}
	watchdog, stop := watchdog()
	defer stop()
	r := &runner{service: s, path: path, log: log, signals: signals, watchdog: watchdog, notify: notifySystemd}
	return r.run()
}

// newLog is the technical log. The journal has a clock of its own.
func (a *app) newLog(level hclog.Level) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "millrace", Level: level, Output: a.err, DisableTime: os.Getenv("JOURNAL_STREAM") != "",
	})
}

// watchdog ticks twice in the time systemd allows between two signs of life, or never.
func watchdog() (<-chan time.Time, func()) {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(interval / 2)
	return t.C, t.Stop
}

// notifySystemd does nothing when systemd did not start us.
func notifySystemd(state string) { _, _ = systemd.SdNotify(false, state) }

// runner drives a service by signals.
type runner struct {
	service  service
	path     string
	log      hclog.Logger
	signals  <-chan os.Signal
	watchdog <-chan time.Time
	notify   func(state string)
}

// run returns when the service has stopped.
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

// reload says READY in any case: the daemon goes on, if only with the configuration it had.
func (r *runner) reload() {
	r.notify(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
	cfg, err := daemon.Load(r.path)
	if err == nil {
		err = r.service.Reload(cfg)
	}
	status := "configuration reloaded"
	if err != nil {
		status = "reload refused; the configuration before it stays in force"
		for line := range strings.Lines(err.Error()) {
			r.log.Error(status, "err", strings.TrimSpace(line))
		}
	}
	r.notify(systemd.SdNotifyReady + "\nSTATUS=" + status)
}

func (r *runner) reopen() {
	if err := r.service.Reopen(); err != nil {
		r.log.Error("mail log not opened again; the old one stays in use", "err", err)
	}
}

// stop drains. It keeps listening, so that a second signal can hurry it and a third end it.
func (r *runner) stop(first os.Signal) error {
	r.log.Info("signal", "signal", first)
	r.notify(systemd.SdNotifyStopping)
	ctx, hurry := context.WithTimeout(context.Background(), drainTime)
	defer hurry()
	done := make(chan error, 1)
	go func() { done <- r.service.Stop(ctx) }() // ends by itself; the third signal leaves it behind
	for {
		select {
		case err := <-done:
			return stopError(err)
		case <-r.watchdog:
			r.notify(systemd.SdNotifyWatchdog)
		case sig := <-r.signals:
			if sig == syscall.SIGHUP || sig == syscall.SIGUSR1 {
				continue
			}
			if ctx.Err() != nil {
				return errForced
			}
			r.log.Warn("second signal: open transactions are cut off", "signal", sig)
			hurry()
		}
	}
}

// stopError makes no failure of transactions that were cut off in the end: what they carried is queued and saved.
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
