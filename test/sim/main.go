package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// flags of the command line.
type flags struct {
	scenario, dir string
	all           bool
	random, show  bool
	real          bool
	days          int
	seed          uint64
	asJSON        bool
	trace, log    bool
	minutes       bool
}

func main() {
	time.Local = time.UTC // the bubble's first midnight is that of UTC: days begin with the run
	var f flags
	set := flag.NewFlagSet("sim", flag.ExitOnError)
	set.StringVar(&f.scenario, "scenario", "", "a `file` of test/sim/scenarios")
	set.BoolVar(&f.all, "all", false, "every scenario of -dir")
	set.BoolVar(&f.random, "random", false, "random days, each made from a seed of its own: -seed and those behind it")
	set.IntVar(&f.days, "days", 5, "how many random days")
	set.BoolVar(&f.real, "real", false, "run each scenario on this machine's sockets and clock too, and print the difference")
	set.BoolVar(&f.show, "show", false, "print the scenarios and do not run them")
	set.StringVar(&f.dir, "dir", "test/sim/scenarios", "`directory` of the scenarios")
	set.Uint64Var(&f.seed, "seed", 1, "decides what chance decides in the world")
	set.BoolVar(&f.asJSON, "json", false, "one JSON object for each scenario")
	set.BoolVar(&f.trace, "trace", false, "tell what happens, on the standard error")
	set.BoolVar(&f.minutes, "minutes", false, "tell of each minute at each site")
	set.BoolVar(&f.log, "log", false, "show the daemon's technical log, on the standard error")
	_ = set.Parse(os.Args[1:]) // it exits
	list, err := f.scenarios()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(2)
	}
	if f.show {
		for _, s := range list {
			fmt.Printf("# %s\n%s\n", s.name, s.text)
		}
		return
	}
	f.runAll(list)
}

// scenarios reads the files that the flags name.
func (f *flags) scenarios() ([]*Scenario, error) {
	paths := []string{f.scenario}
	switch {
	case f.all:
		paths, _ = filepath.Glob(filepath.Join(f.dir, "*.txt"))
	case f.random:
		paths = nil
	case f.scenario == "":
		return nil, fmt.Errorf("give -scenario FILE, -all or -random")
	}
	list := f.randomDays()
	for _, path := range paths {
		s, err := readScenario(path)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// randomDays makes the days that -random asks for.
func (f *flags) randomDays() (list []*Scenario) {
	if !f.random {
		return nil
	}
	for i := range f.days {
		seed := f.seed + uint64(i)
		s, err := parseScenario(randomDay(seed))
		if err != nil {
			panic(err) // randomDay has made a mistake
		}
		s.seed = seed
		list = append(list, s)
	}
	return list
}

// runAll plays the scenarios and ends the program: with 1 if one of them did not hold. A bubble needs a *testing.T, and package
// testing makes one for a program that is no test only by Main. Its own words ("PASS", "--- FAIL") say less than ours and are not
// shown.
func (f *flags) runAll(list []*Scenario) {
	out := os.Stdout
	testing.Init()
	_ = flag.CommandLine.Parse(nil) // package testing wants its flags parsed
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout = null
	}
	o := options{log: f.log, minutes: f.minutes}
	if f.trace {
		o.trace = os.Stderr
	}
	var tests []testing.InternalTest
	for _, s := range list {
		tests = append(tests, testing.InternalTest{Name: s.name, F: func(t *testing.T) {
			r := play(t, s, cmp.Or(s.seed, f.seed), o)
			f.report(t, r, out)
			if f.real {
				on := o
				on.real = &sockets{ports: make(map[string]string)}
				defer on.real.close()
				real := play(t, s, r.Seed, on)
				real.Scenario += " on sockets"
				f.report(t, real, out)
				f.report(t, r.compare(real), out)
			}
		}})
	}
	testing.Main(func(string, string) (bool, error) { return true, nil }, tests, nil, nil)
}

// report prints a result, and makes the program end with 1 if something did not hold.
func (f *flags) report(t *testing.T, r Result, out io.Writer) {
	if f.asJSON {
		_ = json.NewEncoder(out).Encode(r)
	} else {
		r.print(out)
	}
	if !r.OK {
		t.Fail()
	}
}
