// Package demo shows Millrace at work on one machine. It brings an MTA and an internet of its own, runs the daemon between
// them by the same steps as "serve", and counts the messages taken against the messages that arrived, byte for byte.
//
// The package exists for a reader who has only Go and five minutes; nothing of it is part of the daemon. It links the sink
// and the stand-in MTA of the tests, so the command that runs it is left out of a build with the tag nodemo.
//
// The demonstration must not be able to flatter. It runs the daemon from a configuration file, through the socket of the
// milter or of the listener for applications, and over TCP to the sinks; and it believes the sink's ledger about every arrival. Only the number of waiting
// messages comes from the daemon, because nobody else can know it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/schollz/progressbar/v3"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/daemon"
)

// stopTime bounds the stop of the daemon after the campaign.
const stopTime = 30 * time.Second

// Run shows one campaign and prints the result. It returns ErrDoesNotAddUp when a message was lost, doubled or altered. It
// leaves nothing behind: the daemon, the listeners and the directory are gone when it returns, also after an error.
func Run(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "millrace-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	net, err := newInternet(o.Domains)
	if err != nil {
		return err
	}
	defer net.shutDown()
	millrace, err := start(dir, net, o)
	if err != nil {
		return err
	}
	t := &tally{net: net, mta: newMTA(o, net), daemon: millrace, queue: millrace.Overview(), begin: time.Now()}
	err = follow(ctx, dir, o, t)
	t.end = time.Now() // the stop is no part of the measured time
	t.reckon()         // before the stop: reckon asks the daemon for the messages that wait
	stop, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := errors.Join(err, millrace.Stop(stop)); err != nil {
		return err
	}
	return printResult(o, t)
}

// start writes a configuration file and starts the daemon on it. A Config made in memory would be shorter, but every user
// comes in by a file, and the demonstration must come in the same way.
func start(dir string, net *internet, o Options) (*daemon.Daemon, error) {
	path := filepath.Join(dir, "millrace.toml")
	if err := os.WriteFile(path, []byte(net.config(dir, o.NoMTA)), 0o600); err != nil {
		return nil, err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	log := daemon.NewLog(o.Progress, hclog.Error)
	millrace, err := daemon.New(cfg, log)
	if err != nil {
		return nil, err
	}
	return millrace, millrace.Start()
}

// follow feeds the campaign and shows its progress, until every message that can arrive has arrived. After the last message
// was taken it waits for at most Options.Wait: a message that is lost never arrives, and the result must say so.
func follow(ctx context.Context, dir string, o Options, t *tally) error {
	fed := make(chan error, 1)
	go func() { fed <- t.mta.feed(ctx, dir) }() // ends with the campaign or ctx
	bar := newBar(o)
	defer func() { _ = bar.Clear() }() // the result begins on a line of its own
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			if fed != nil {
				<-fed // until feed has returned, the MTA writes the notes that the tally reads
			}
			return ctx.Err()
		case err := <-fed:
			if err != nil {
				return fmt.Errorf("%s: %w", o.who(), err)
			}
			fed, late = nil, time.After(o.Wait)
		case <-late:
			return nil // the result then counts the missing messages
		case <-tick.C:
			bar.Describe(t.progress())
			_ = bar.Set(t.ended())
			if fed == nil && t.onlyDeadLeft() {
				return nil
			}
		}
	}
}

// newBar makes the live line. It is visible on a terminal only, and never together with JSON: a log file would fill with
// copies of it.
func newBar(o Options) *progressbar.ProgressBar {
	f, ok := o.Progress.(*os.File)
	visible := ok && !o.JSON && isTerminal(f)
	return progressbar.NewOptions(o.Messages,
		progressbar.OptionSetWriter(o.Progress), progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false),
	)
}

// isTerminal is false for a terminal that cannot move its cursor: the live line would fill it.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && !strings.EqualFold(os.Getenv("TERM"), "dumb")
}
