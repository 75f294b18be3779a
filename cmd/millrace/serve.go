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
	HandOver(context.Context) (*daemon.Given, error)
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
SIGUSR1           open the mail log and the event files again, after they were rotated
SIGUSR2           give way to the program on disk, as "millrace upgrade" does

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
	defer signal.Stop(signals)
	watchdog, stop := watchdog()
	defer stop()
	r := &runner{path: path, log: log, signals: signals, watchdog: watchdog, notify: notifySystemd, orders: make(chan string, 1), next: newSuccessor(path)}
	for {
		signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
		if r.service, err = open(daemon.Machine{Given: given, Upgrade: r.order}, cfg, log); err != nil {
			return err
		}
		if given, err = r.run(); given == nil {
			return err
		}
		// The program on disk could not be run. This process begins anew, as that program would have: its sockets are open, and
		// whoever connects notices nothing.
	}
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
	orders   chan string // who wants this process to give way; the program on disk has been tried
	next     heir
}

// heir is a successor; tests drive a fake.
type heir interface {
	try() error
	replace(*daemon.Given) error
}

// run returns when the service has stopped. The watchdog's tick is answered in the same loop that serves signals: a reload
// that hangs stops the ticks, and systemd starts the daemon anew.
//
// When it was to give way to the program on disk, and that could not be run, it returns what the next service goes on with.
func (r *runner) run() (*daemon.Given, error) {
	if err := r.start(); err != nil {
		return nil, err
	}
	r.notify(systemd.SdNotifyReady)
	for {
		select {
		case <-r.watchdog:
			r.notify(systemd.SdNotifyWatchdog)
		case who := <-r.orders:
			if given, err := r.giveWay(who); given != nil || err != errGoesOn {
				return given, err
			}
		case sig := <-r.signals:
			switch sig {
			case syscall.SIGHUP:
				r.reload()
			case syscall.SIGUSR1:
				r.reopen()
			case syscall.SIGUSR2:
				go r.order("SIGUSR2") // ends with the try of the program on disk; its error is logged
			default:
				return nil, r.stop(sig)
			}
		}
	}
}

// start waits for the service, and is alive to the watchdog meanwhile: a process that has taken over has a watchdog before it is
// ready.
func (r *runner) start() error {
	done := make(chan error, 1)
	go func() { done <- r.service.Start() }() // ends with the start
	for {
		select {
		case err := <-done:
			return err
		case <-r.watchdog:
			r.notify(systemd.SdNotifyWatchdog)
		}
	}
}

// order tries the program on disk, and then has this process give way to it. Any goroutine may call it.
func (r *runner) order(who string) error {
	r.log.Info("upgrade ordered", "who", who)
	err := r.next.try()
	if err == nil {
		select {
		case r.orders <- who:
			return nil
		default:
			err = errors.New("an upgrade is under way")
		}
	}
	for line := range strings.Lines(err.Error()) {
		r.log.Error("no upgrade: this process goes on", "error", strings.TrimSpace(line))
	}
	return err
}

// errGoesOn means that the service has not stopped.
var errGoesOn = errors.New("the service goes on")

// giveWay hands over to the program on disk. It returns when that was not to be: with what a new service in this process goes on with,
// with errGoesOn, or with the result of a stop that a signal has ordered meanwhile.
func (r *runner) giveWay(who string) (*daemon.Given, error) {
	r.notify(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
	ctx, hurry := context.WithCancel(context.Background())
	defer hurry()
	var given *daemon.Given
	done := make(chan error, 1)
	go func() { // ends with the service
		var err error
		given, err = r.service.HandOver(ctx)
		done <- err
	}()
	var ended os.Signal
	for {
		select {
		case <-r.watchdog:
			r.notify(systemd.SdNotifyWatchdog)
		case sig := <-r.signals:
			if sig == syscall.SIGTERM || sig == os.Interrupt {
				ended = sig
				hurry()
			}
		case err := <-done:
			return r.endService(given, err, ended)
		}
	}
}

// endService is the end of giveWay, when the service has answered.
func (r *runner) endService(given *daemon.Given, err error, ended os.Signal) (*daemon.Given, error) {
	switch {
	case given == nil && ended != nil:
		return nil, r.stop(ended)
	case given == nil:
		r.log.Error("no upgrade: this process goes on", "error", err)
		r.notify(systemd.SdNotifyReady)
		return nil, errGoesOn
	case ended != nil:
		r.log.Info("signal", "signal", ended)
		r.notify(systemd.SdNotifyStopping)
		return nil, errors.Join(stopError(err), given.Close())
	}
	if err := stopError(err); err != nil {
		r.log.Error("the next process will recover what this one could not save", "error", err)
	}
	err = r.next.replace(given)
	r.log.Error("no upgrade: this process begins anew", "error", err)
	given.Failure = err.Error()
	return given, nil
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
