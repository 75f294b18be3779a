package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// options are how a run is shown.
type options struct {
	trace   io.Writer // nil: no trace
	log     bool      // the daemon's technical log goes to the standard error
	minutes bool      // the result tells of each minute
	real    *sockets  // the world stands on this machine's sockets and clock; nil: on those in memory
	last    func()    // the last thing that happens; nil: nothing. A test leaves something behind by it
	deaf    bool      // nobody reads the mail log: the ledger must find the duplicates that nobody names
	liar    bool      // the disk forgets at a power cut what it was told to sync: the ledger must find the loss
}

// Result is what a run showed.
type Result struct {
	Scenario   string                        `json:"scenario"`
	Seed       uint64                        `json:"seed"`
	OK         bool                          `json:"ok"`
	Violations []string                      `json:"violations"`
	Goals      []Goal                        `json:"goals"`
	Simulated  float64                       `json:"simulated_s"`
	Wall       float64                       `json:"wall_s"`
	Figures    map[string]map[string]float64 `json:"figures"`
	Minutes    map[string][]minute           `json:"minutes,omitempty"` // by site, with -minutes
}

// play runs a scenario, and once more for each of its baselines, and judges.
func play(t *testing.T, s *Scenario, seed uint64, o options) Result {
	r := run(t, s, seed, o)
	for _, sources := range s.baselines {
		quiet := o
		quiet.trace = nil
		r.relate(run(t, s.only(sources), seed, quiet), sources)
	}
	var missed []string
	r.Goals, missed = s.judge(r.Figures)
	r.Violations = append(r.Violations, missed...)
	r.OK = len(r.Violations) == 0
	return r
}

// related are the figures that get a ratio.
var related = []string{"received", "rate", "p50", "p99", "max"}

// relate sets the figures of some sources in proportion to those of a run with these alone.
func (r *Result) relate(alone Result, sources []string) {
	for _, v := range alone.Violations {
		r.Violations = append(r.Violations, fmt.Sprintf("with %s alone: %s", strings.Join(sources, " and "), v))
	}
	r.Wall += alone.Wall
	for _, name := range sources {
		for _, figure := range related {
			if base := alone.Figures[name][figure]; base > 0 && r.Figures[name] != nil {
				r.Figures[name][figure+"_ratio"] = r.Figures[name][figure] / base
			}
		}
	}
}

// run runs a scenario in a bubble of its own. A goroutine that is left at the end is a violation: the bubble finds it.
func run(t *testing.T, s *Scenario, seed uint64, o options) (r Result) {
	dir, err := os.MkdirTemp("", "millrace-sim-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	r = Result{Scenario: s.name, Seed: seed, Violations: []string{}}
	defer func() {
		if fault := recover(); fault != nil {
			r.Violations = append(r.Violations, fmt.Sprintf("the bubble: %v", fault))
		}
		r.Wall = time.Since(began).Seconds()
	}()
	if o.real != nil {
		r.stage(s, dir, o)
	} else {
		synctest.Test(t, func(*testing.T) { r.stage(s, dir, o) })
	}
	return r
}

// stage is one run, from the first moment of its world to the last.
func (r *Result) stage(s *Scenario, dir string, o options) {
	w, err := newWorld(s, r.Seed, dir, o)
	if err != nil {
		r.Violations = append(r.Violations, err.Error())
		return
	}
	w.live()
	r.Figures = w.finish()
	if o.last != nil {
		o.last()
	}
	if o.minutes {
		r.Minutes = make(map[string][]minute)
		for _, s := range w.sites {
			r.Minutes[s.name] = s.minutes
		}
	}
	r.Simulated = r.Figures["all"]["seconds"]
	r.Violations = append(r.Violations, summary(w.violations, 20)...)
}

var minuteColumns = []string{"offered", "taken", "received", "deferred", "attempts", "refused", "limited", "peak", "agents", "waiting", "window", "rate"}

// printMinutes writes what happened in each minute.
func (r Result) printMinutes(out io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(r.Minutes)) {
		fmt.Fprintf(out, "%-20s", name)
		for _, c := range minuteColumns {
			fmt.Fprintf(out, " %9s", c)
		}
		fmt.Fprintln(out)
		for i, m := range r.Minutes[name] {
			fmt.Fprintf(out, "  minute %-11d %9d %9d %9d %9d %9d %9d %9d %9d %9d %9d %9d %9.4g\n", i, m.Offered, m.Taken, m.Received, m.Deferred, m.Attempts, m.Refused, m.Limited, m.Peak, m.Agents, m.Waiting, m.Window, m.Rate)
		}
	}
}

// columns of the table.
var columns = []string{"offered", "taken", "left", "received", "twice", "returned", "waiting", "most", "attempts", "refused", "limited", "deferred", "peak", "connections", "rate", "p50", "p99", "last", "capacity", "share"}

// print writes the result for a human.
func (r Result) print(out io.Writer) {
	verdict := "ok"
	if !r.OK {
		verdict = "VIOLATED"
	}
	fmt.Fprintf(out, "%s, seed %d: %s; %s simulated in %.1f s\n", r.Scenario, r.Seed, verdict, time.Duration(r.Simulated*float64(time.Second)).Round(time.Second), r.Wall)
	r.printFigures(out)
	r.printMinutes(out)
	r.printGoals(out)
	for _, v := range r.Violations {
		fmt.Fprintln(out, "  violated:", v)
	}
}

// printFigures writes the table.
func (r Result) printFigures(out io.Writer) {
	if len(r.Figures) == 0 {
		return
	}
	fmt.Fprintf(out, "%-20s", "site")
	for _, c := range columns {
		fmt.Fprintf(out, " %11s", c)
	}
	fmt.Fprintln(out)
	for _, name := range r.names() {
		fmt.Fprintf(out, "%-20s", name)
		for _, c := range columns {
			if v, found := r.Figures[name][c]; found {
				fmt.Fprintf(out, " %11.6g", v)
			} else {
				fmt.Fprintf(out, " %11s", "")
			}
		}
		fmt.Fprintln(out)
	}
}

// names are the rows of the table: the sites, the sources, and the sums.
func (r Result) names() []string {
	rank := func(name string) int {
		switch {
		case name == "all":
			return 2
		case r.Figures[name]["attempts"] > 0 || strings.Contains(name, "."):
			return 0
		}
		return 1
	}
	return slices.SortedFunc(maps.Keys(r.Figures), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}
