package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// flags of the command line.
type flags struct {
	scenario, dir string
	all           bool
	seed          uint64
	asJSON        bool
	trace, log    bool
}

func main() {
	var f flags
	set := flag.NewFlagSet("sim", flag.ExitOnError)
	set.StringVar(&f.scenario, "scenario", "", "a `file` of test/sim/scenarios")
	set.BoolVar(&f.all, "all", false, "every scenario of -dir")
	set.StringVar(&f.dir, "dir", "test/sim/scenarios", "`directory` of the scenarios")
	set.Uint64Var(&f.seed, "seed", 1, "decides what chance decides in the world")
	set.BoolVar(&f.asJSON, "json", false, "one JSON object for each scenario")
	set.BoolVar(&f.trace, "trace", false, "tell what happens, on the standard error")
	set.BoolVar(&f.log, "log", false, "show the daemon's technical log, on the standard error")
	_ = set.Parse(os.Args[1:]) // it exits
	list, err := f.scenarios()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(2)
	}
	f.runAll(list)
}

// scenarios reads the files that the flags name.
func (f *flags) scenarios() ([]*Scenario, error) {
	paths := []string{f.scenario}
	switch {
	case f.all:
		paths, _ = filepath.Glob(filepath.Join(f.dir, "*.txt"))
	case f.scenario == "":
		return nil, fmt.Errorf("give -scenario FILE or -all")
	}
	var list []*Scenario
	for _, path := range paths {
		s, err := readScenario(path)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
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
	o := options{log: f.log}
	if f.trace {
		o.trace = os.Stderr
	}
	var tests []testing.InternalTest
	for _, s := range list {
		tests = append(tests, testing.InternalTest{Name: s.name, F: func(t *testing.T) {
			r := play(t, s, f.seed, o)
			if f.asJSON {
				_ = json.NewEncoder(out).Encode(r)
			} else {
				r.print(out)
			}
			if !r.OK {
				t.Fail()
			}
		}})
	}
	testing.Main(func(string, string) (bool, error) { return true, nil }, tests, nil, nil)
}
