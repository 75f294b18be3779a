package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/daemon"
)

// mode is one way to break something.
type mode struct {
	name     string
	run      func(r *run, n int) (Result, error)
	ci, full int // n of run in the profile "ci", and in "full"
}

// modes returns the modes in the order in which "all" runs them.
func modes() []mode {
	return []mode{
		{"kill", killMode, 50, 1000},
		{"stop", stopMode, 10, 100},
		{"power", powerMode, 50, 1000},
		{"corrupt", corruptMode, 100, 1000},
		{"every", everyMode, 10, 1},
		{"ioerr", ioerrMode, 20, 1},
		{"selftest", selftestMode, 12, 12},
		{"model", modelMode, 50_000, 1_000_000},
	}
}

func main() {
	if launched() {
		os.Exit(launch(os.Args[1:]))
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}

// settings are the flags.
type settings struct {
	mode, profile, dir string
	n                  int
	seed               uint64
	json, keep, quiet  bool
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("crash", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.mode, "mode", "all", "which modes to run: "+strings.Join(names(), ", ")+", or all; several are separated by commas")
	f.StringVar(&s.profile, "profile", "ci", "how long the modes run: ci or full")
	f.IntVar(&s.n, "n", 0, "how many crashes, stops, files or states, instead of the profile's number; every and ioerr try each n-th system call")
	f.Uint64Var(&s.seed, "seed", 1, "seed of all random numbers")
	f.StringVar(&s.dir, "dir", "", "make the working directory in this directory (default /dev/shm, else the system's directory for temporary files)")
	f.BoolVar(&s.json, "json", false, "print one JSON object for each mode")
	f.BoolVar(&s.keep, "keep", false, "keep the working directory")
	f.BoolVar(&s.quiet, "quiet", false, "print no progress")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.profile != "ci" && s.profile != "full" {
		return s, fmt.Errorf(`-profile: %q is neither "ci" nor "full"`, s.profile)
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("%q: crash takes no arguments, only flags", f.Arg(0))
	}
	return s, nil
}

func names() []string {
	var all []string
	for _, m := range modes() {
		all = append(all, m.name)
	}
	return all
}

// chosen returns the modes that a list of -mode names.
func chosen(list string) ([]mode, error) {
	if list == "all" {
		return modes(), nil
	}
	var some []mode
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(modes(), func(m mode) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-mode: %q is none of %s", name, strings.Join(names(), ", "))
		}
		some = append(some, modes()[i])
	}
	return some, nil
}

// command runs the modes that args choose and returns the exit status: 1 for a broken promise, 2 for a failure of the
// harness, else 0.
func command(args []string, stdout, stderr io.Writer) int {
	status, err := execute(args, stdout, stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(stderr, "crash:", err)
		return 2
	}
	return status
}

func execute(args []string, stdout, stderr io.Writer) (int, error) {
	s, err := parse(args, stderr)
	if err != nil {
		return 2, err
	}
	todo, err := chosen(s.mode)
	if err != nil {
		return 2, err
	}
	r := &run{seed: s.seed, verbose: stderr, places: new(atomic.Int64)}
	if s.quiet {
		r.verbose = nil
	}
	if r.dir, err = workDir(s.dir); err != nil {
		return 2, err
	}
	if r.bin, err = daemon.Build(r.dir); err != nil {
		return 2, err
	}
	status, err := r.all(todo, s, stdout)
	if err == nil && status == 0 && !s.keep {
		return 0, os.RemoveAll(r.dir)
	}
	fmt.Fprintln(stderr, "crash: the working directory is kept:", r.dir)
	return status, err
}

// workDir makes the working directory. It lies in memory where possible, which is faster: what survives a power cut is
// decided by the ext4 in an image file, not by the file system below the image.
func workDir(dir string) (string, error) {
	if dir == "" {
		if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
			dir = "/dev/shm"
		}
	}
	return os.MkdirTemp(dir, "millrace-crash-")
}

// all runs the modes one after the other and prints their results.
func (r *run) all(todo []mode, s settings, stdout io.Writer) (status int, err error) {
	var results []*Result
	for _, m := range todo {
		res, err := r.one(m, s)
		if err != nil {
			return 2, fmt.Errorf("%s: %w", m.name, err)
		}
		results = append(results, res)
		if !res.held() || res.Unavailable != "" && os.Getenv("CI") != "" {
			status = 1
		}
		if s.json {
			if err := res.writeJSON(stdout); err != nil {
				return 2, err
			}
		}
	}
	if s.json {
		return status, nil
	}
	return status, writeTable(stdout, results)
}

// one runs a mode. When the mode cannot run on this machine, its result says why.
func (r *run) one(m mode, s settings) (*Result, error) {
	n := m.ci
	if s.profile == "full" {
		n = m.full
	}
	if s.n > 0 {
		n = s.n
	}
	r.mode = m.name
	begin := time.Now()
	res, err := m.run(r, n)
	if r.verbose != nil {
		fmt.Fprintln(r.verbose)
	}
	res.Mode, res.Seconds = m.name, time.Since(begin).Seconds()
	if errors.Is(err, errUnavailable) {
		res.Unavailable = err.Error()
		return &res, nil
	}
	return &res, err
}
