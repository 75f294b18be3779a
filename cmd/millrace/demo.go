package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/daemon"
)

// errDoesNotAddUp makes the demo exit 1: something was lost, doubled or altered.
var errDoesNotAddUp = errors.New("the numbers do not add up")

// demo is what its flags say.
type demo struct {
	messages int
	size     int
	domains  int
	personal float64
	wait     time.Duration
	json     bool
	out      io.Writer
	progress io.Writer
}

func newDemoCommand() *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show Millrace at work on this machine, with an MTA and an internet of its own",
		Long: `Start the daemon as "serve" does, in a directory of its own, with a stand-in MTA that speaks the milter protocol to it
and an internet of SMTP servers on loopback: fast, slow, greylisting, refusing, closing and dead ones. Send a campaign
through it, and count what was taken against what arrived, byte for byte. Nothing leaves this machine.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out, d.progress = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.IntVar(&d.messages, "messages", 20_000, "messages of the campaign, one recipient each")
	f.IntVar(&d.size, "size", 20_000, "bytes of a message")
	f.IntVar(&d.domains, "domains", 12, "receiving domains; the first six differ in character, the others are fast")
	f.Float64Var(&d.personal, "personal", 0, "share of the body that differs from message to message (0 to 1)")
	f.DurationVar(&d.wait, "wait", 2*time.Minute, "how long to wait for deliveries after the last message was taken")
	f.BoolVarP(&d.json, "json", "j", false, "print one JSON object instead of the table")
	return cmd
}

func (d *demo) validate() error {
	switch {
	case d.messages < 1 || d.messages > 10_000_000:
		return fmt.Errorf("--messages %d: give 1 to 10000000", d.messages)
	case d.size < 1 || d.size > 10<<20:
		return fmt.Errorf("--size %d: give 1 to 10485760 bytes", d.size)
	case d.domains < 1 || d.domains > 1000:
		return fmt.Errorf("--domains %d: give 1 to 1000", d.domains)
	case d.personal < 0 || d.personal > 1:
		return fmt.Errorf("--personal %g: give a share between 0 and 1", d.personal)
	}
	return nil
}

// run is the whole demo.
func (d *demo) run(ctx context.Context) error {
	if err := d.validate(); err != nil {
		return usageError{err}
	}
	dir, err := os.MkdirTemp("", "millrace-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	net, err := newDemoNet(d.domains)
	if err != nil {
		return err
	}
	defer net.close()
	millrace, err := d.start(dir, net)
	if err != nil {
		return err
	}
	mta := newDemoMTA(d, net)
	tally := &tally{net: net, mta: mta, daemon: millrace, begin: time.Now()}
	err = d.follow(ctx, dir, tally)
	tally.end = time.Now()
	tally.read()
	stop, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := errors.Join(err, millrace.Stop(stop)); err != nil {
		return err
	}
	return d.report(tally)
}

// start writes a configuration file and starts the daemon on it, by the same steps as "serve".
func (d *demo) start(dir string, net *demoNet) (*daemon.Daemon, error) {
	path := filepath.Join(dir, "millrace.toml")
	if err := os.WriteFile(path, []byte(net.config(dir)), 0o600); err != nil {
		return nil, err
	}
	cfg, err := daemon.Load(path)
	if err != nil {
		return nil, err
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "millrace", Level: hclog.Error, Output: d.progress})
	millrace, err := daemon.New(cfg, log)
	if err != nil {
		return nil, err
	}
	return millrace, millrace.Start()
}

// follow feeds the campaign and shows how it goes, until everything that can arrive has arrived.
func (d *demo) follow(ctx context.Context, dir string, t *tally) error {
	fed := make(chan error, 1)
	go func() { fed <- t.mta.feed(ctx, demoSocket(dir)) }() // ends with the campaign or ctx
	bar := d.bar()
	defer bar.Exit()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			if fed != nil {
				<-fed // it writes down what the tally reads
			}
			return ctx.Err()
		case err := <-fed:
			if err != nil {
				return fmt.Errorf("stand-in MTA: %w", err)
			}
			fed, late = nil, time.After(d.wait)
		case <-late:
			return nil
		case <-tick.C:
			bar.Describe(t.line())
			_ = bar.Set(t.settled())
			if fed == nil && t.done() {
				return nil
			}
		}
	}
}

// bar is the live line: on a terminal only, and never in front of JSON.
func (d *demo) bar() *progressbar.ProgressBar {
	f, ok := d.progress.(*os.File)
	visible := ok && !d.json && isTerminal(f)
	return progressbar.NewOptions(d.messages,
		progressbar.OptionSetWriter(d.progress), progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false),
	)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && !strings.EqualFold(os.Getenv("TERM"), "dumb")
}
