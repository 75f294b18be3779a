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

// mode is one way to break things.
type mode struct {
	name     string
	run      func(r *run, n int) (Result, error)
	ci, full int // how much of it a profile wants
}

// modes in the order in which "all" runs them.
func modes() []mode {
	return []mode{
		{"kill", killMode, 50, 1000},
		{"stop", stopMode, 10, 100},
		{"power", powerMode, 50, 1000},
		{"corrupt", corruptMode, 100, 1000},
		{"every", everyMode, 10, 1},
		{"ioerr", ioerrMode, 20, 1},
		{"selftest", selftestMode, 10, 10},
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
	f.StringVar(&s.mode, "mode", "all", "what to do: "+strings.Join(names(), ", ")+", or all; several with commas")
	f.StringVar(&s.profile, "profile", "ci", "how much of it: ci or full")
	f.IntVar(&s.n, "n", 0, "how much of it, instead of the profile's number; for every and ioerr: each n-th point")
	f.Uint64Var(&s.seed, "seed", 1, "seed of everything random")
	f.StringVar(&s.dir, "dir", "", "where to work (default: a new directory in /dev/shm, or else the system's for temporary files)")
	f.BoolVar(&s.json, "json", false, "print one JSON object for each mode")
	f.BoolVar(&s.keep, "keep", false, "leave what was worked on in place")
	f.BoolVar(&s.quiet, "quiet", false, "say nothing of the progress")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.profile != "ci" && s.profile != "full" {
		return s, fmt.Errorf(`-profile: %q is neither "ci" nor "full"`, s.profile)
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("%q: there are no arguments, only flags", f.Arg(0))
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

// chosen returns the modes a list names.
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

// command runs what args say and returns the exit status: 0, 1 for a broken promise, 2 when that could not be found out.
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
	fmt.Fprintln(stderr, "crash: what was worked on is in", r.dir)
	return status, err
}

// workDir makes the directory of the run. Memory is as good as a disk here, and faster: what survives is decided by the
// file system above it.
func workDir(dir string) (string, error) {
	if dir == "" {
		if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
			dir = "/dev/shm"
		}
	}
	return os.MkdirTemp(dir, "millrace-crash-")
}

// all runs the modes one after the other and prints what they found.
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

// one runs a mode. One that cannot run here says so.
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
