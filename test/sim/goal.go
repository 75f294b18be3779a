package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// aim is a line "expect" or "goal": what a figure should be at the end.
type aim struct {
	name, figure, op string
	value            float64
	text             string
	must             bool // expect: a run that misses it is a failure
}

// Goal is what became of an aim.
type Goal struct {
	Row    int     `json:"row,omitempty"` // of the table in the issue that asks for it
	Figure string  `json:"figure"`        // "five.test share"
	Value  float64 `json:"value"`
	Goal   string  `json:"goal"` // ">= 95%"
	Met    bool    `json:"met"`
	Must   bool    `json:"must"` // a miss is a violation
}

// String is the goal as the table shows it.
func (g Goal) String() string {
	value := fmt.Sprintf("%.6g", g.Value)
	if strings.HasSuffix(g.Goal, "%") {
		value = fmt.Sprintf("%.2f%%", g.Value*100)
	}
	verdict := "missed"
	if g.Met {
		verdict = "met"
	}
	return fmt.Sprintf("%-7s %s %s: %s", verdict, g.Figure, g.Goal, value)
}

// parseAim reads "NAME figure OP number". A duration counts in seconds. "5%" is 0.05, and of a count it means the count's share:
// "refused <= 5%" is about refused_share.
func parseAim(words []string, must bool) (a aim, err error) {
	if len(words) != 4 {
		return a, fmt.Errorf("write a name, a figure, an operator and a number")
	}
	a = aim{name: words[0], figure: words[1], op: words[2], text: strings.Join(words[2:], " "), must: must}
	if a.op != "=" && a.op != "<=" && a.op != ">=" {
		return a, fmt.Errorf("%q is none of =, <=, >=", a.op)
	}
	number, percent := strings.CutSuffix(words[3], "%")
	if d, notDuration := time.ParseDuration(number); notDuration == nil {
		a.value = d.Seconds()
	} else if a.value, err = strconv.ParseFloat(number, 64); err != nil {
		return a, err
	}
	if percent {
		a.value /= 100
		if a.figure == "refused" || a.figure == "limited" {
			a.figure += "_share"
		}
	}
	return a, nil
}

// find looks a figure up. "A:B" is the one of A in proportion to the one of B.
func (a *aim) find(figures map[string]map[string]float64) (have float64, found bool) {
	name, other, ratio := strings.Cut(a.name, ":")
	have, found = figures[name][a.figure]
	if base := figures[other][a.figure]; ratio && found {
		return have / base, base > 0
	}
	return have, found
}

// judge compares the figures with the aims.
func (s *Scenario) judge(figures map[string]map[string]float64) (goals []Goal, violations []string) {
	for _, a := range s.aims {
		have, found := a.find(figures)
		g := Goal{Row: s.row, Figure: a.name + " " + a.figure, Value: have, Goal: a.text, Must: a.must}
		switch {
		case !found:
		case a.op == "=":
			g.Met = have == a.value
		case a.op == "<=":
			g.Met = have <= a.value
		case a.op == ">=":
			g.Met = have >= a.value
		}
		goals = append(goals, g)
		if a.must && !g.Met {
			violations = append(violations, fmt.Sprintf("expected %s %s; it is %g", g.Figure, g.Goal, have))
		}
	}
	return goals, violations
}
