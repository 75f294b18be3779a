package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// compared are the figures in which a run in memory and one on sockets must agree, with the least value that says more than the
// noise of a busy machine: below it both need only be below it. Counts are of recipients and connections, delays in seconds. Where
// mail still waits at the end, delays are those of a backlog, which grow with each small difference in the rate.
var compared = []struct {
	figure string
	floor  float64
}{
	{"received", 20}, {"limited", 20}, {"refused", 20}, {"attempts", 20}, {"peak", 4}, {"connections", 4}, {"rate", 1}, {"p50", 0.3}, {"p99", 1},
}

// agreement is how far a figure in memory may be from the one on sockets.
const agreement = 0.1

// compare holds a run on sockets against the one in memory. A Goal's value is how far they are apart, as a part of the figure on
// sockets. A daemon whose simulation differs from the machine is not what the simulation shows.
func (r Result) compare(real Result) Result {
	c := Result{Scenario: r.Scenario + ", in memory against on sockets", Seed: r.Seed, OK: true, Violations: []string{}, Simulated: r.Simulated, Wall: r.Wall + real.Wall}
	for _, name := range r.names() {
		if _, site := r.Figures[name]["attempts"]; !site || name == "all" {
			continue
		}
		for _, f := range compared {
			if strings.HasPrefix(f.figure, "p") && f.figure != "peak" && r.Figures[name]["waiting"] > 0 {
				continue
			}
			a, b := r.Figures[name][f.figure], real.Figures[name][f.figure]
			g := Goal{Row: 8, Figure: fmt.Sprintf("%s %s (%.4g, %.4g)", name, f.figure, a, b), Goal: "<= 10%", Must: true}
			if a >= f.floor || b >= f.floor {
				g.Value = math.Abs(a-b) / max(b, f.floor)
			}
			g.Met = g.Value <= agreement
			c.OK = c.OK && g.Met
			c.Goals = append(c.Goals, g)
		}
	}
	return c
}

// printGoals writes what became of the aims.
func (r Result) printGoals(out io.Writer) {
	for _, g := range r.Goals {
		fmt.Fprintln(out, " ", g)
	}
}
