package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/millrace/millrace/cmd/config"
	served "github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/test/daemon"
)

// profileEnv names the file that a daemon in the role "millrace" writes its profile to.
const profileEnv = "MILLRACE_BENCH_PROFILE"

// serveProfiled is the role "millrace": "serve -c FILE" as the millrace command does it, with a profile of the time between two
// SIGUSR1.
func serveProfiled(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%q is not: serve -c FILE", args)
	}
	cfg, err := config.Load(args[2])
	if err != nil {
		return err
	}
	d, err := served.New(cfg, served.NewLog(os.Stderr, cfg.Log.LogLevel()))
	if err != nil {
		return err
	}
	d.LimitProcess()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM)
	if err := d.Start(); err != nil {
		return err
	}
	var under *os.File
	for sig := range signals {
		if sig == syscall.SIGTERM {
			break
		}
		if under, err = toggleProfile(under, os.Getenv(profileEnv)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return d.Stop(ctx)
}

// toggleProfile begins a profile, or ends the one that is under way. The file has its name when it is whole.
func toggleProfile(under *os.File, name string) (*os.File, error) {
	if under == nil {
		file, err := os.Create(name + ".part")
		if err == nil {
			err = pprof.StartCPUProfile(file)
		}
		return file, err
	}
	pprof.StopCPUProfile()
	return nil, errors.Join(under.Close(), os.Rename(under.Name(), name))
}

// profiled is a daemon under a profiler; nil: there is none.
type profiled struct {
	daemon *daemon.Daemon
	file   string
	out    io.Writer
}

// profiled puts a daemon that is not started yet under a profiler, if one is wanted. The last round of that name stays.
func (b *rowBench) profiled(d *daemon.Daemon, name string) (*profiled, error) {
	if b.profile == "" {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return nil, err
	}
	file, err := filepath.Abs(filepath.Join(b.profile, name+".pprof"))
	if err != nil {
		return nil, err
	}
	d.Bin, d.Env = self, append(d.Env, roleEnv+"=millrace", profileEnv+"="+file)
	return &profiled{daemon: d, file: file, out: os.Stderr}, nil
}

// begin begins the profile.
func (p *profiled) begin() error {
	if p == nil {
		return nil
	}
	if err := os.Remove(p.file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	p.daemon.Signal(syscall.SIGUSR1)
	return nil
}

// end ends the profile and prints it by stage.
func (p *profiled) end(messages int) error {
	if p == nil {
		return nil
	}
	p.daemon.Signal(syscall.SIGUSR1)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(p.file); err == nil {
			break
		} else if time.Now().After(end) {
			return err
		}
	}
	text, err := exec.Command("go", "tool", "pprof", "-traces", p.file).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	samples, err := readTraces(string(text))
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s, %d messages:\n", p.file, messages)
	table := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, l := range byStage(samples) {
		fmt.Fprintf(table, "%s\t%.1f us\t\n", l.stage, float64(l.took.Nanoseconds())/1000/float64(messages))
	}
	return table.Flush()
}

// endAs is end for one of several profiles of a daemon, whose file gets a name of its own.
func (p *profiled) endAs(name string, messages int) error {
	if p == nil {
		return nil
	}
	file := filepath.Join(filepath.Dir(p.file), strings.ReplaceAll(name, " ", "-")+".pprof")
	return errors.Join(p.end(messages), os.Rename(p.file, file))
}
