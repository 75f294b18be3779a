package main

import (
	"fmt"
	"io"
	"math"
)

// compared are the figures in which a run in memory and one on sockets must agree: to a tenth, or to a tenth of the floor, whichever
// is more. Below the floor a tenth is the noise of a busy machine: two connections of twenty, or a tenth of a second. Counts are of
// recipients and connections, delays in seconds. Where mail still waits at the end, delays are those of a backlog, which grow with
// each small difference in the rate, and are not compared.
var compared = []struct {
	figure string
	floor  float64
}{
	{"received", 20}, {"limited", 20}, {"refused", 20}, {"attempts", 20}, {"peak", 20}, {"connections", 10}, {"rate", 1}, {"p50", 1}, {"p99", 1},
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
			if (f.figure == "p50" || f.figure == "p99") && r.Figures[name]["waiting"] > 0 {
				continue
			}
			a, b := r.Figures[name][f.figure], real.Figures[name][f.figure]
			g := Goal{Row: 8, Figure: fmt.Sprintf("%s %s (%.4g, %.4g)", name, f.figure, a, b), Goal: "<= 10%", Must: true}
			g.Value = math.Abs(a-b) / max(b, f.floor)
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
