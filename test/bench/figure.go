package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
)

// figure is one line of what is measured against a goal.
type figure struct {
	Row    int      `json:"row"` // figures of one row belong together
	Figure string   `json:"figure"`
	Value  *float64 `json:"value"` // nil: it could not be measured
	Min    *float64 `json:"min"`   // of the rounds that Value is the median of; Value itself when there was one
	Max    *float64 `json:"max"`
	Goal   string   `json:"goal"` // "": the figure only stands beside the others
	Met    bool     `json:"met"`
	Reason string   `json:"reason,omitempty"` // why there is no value
	Note   string   `json:"note,omitempty"`   // what the value was made of
}

// atLeast is a figure that has its goal at goal and above.
func atLeast(row int, name string, value, goal float64, note string) figure {
	return measured(figure{Row: row, Figure: name, Goal: fmt.Sprintf("at least %.3g", goal), Met: value >= goal, Note: note}, value)
}

// atMost is a figure that has its goal at goal and below.
func atMost(row int, name string, value, goal float64, note string) figure {
	return measured(figure{Row: row, Figure: name, Goal: fmt.Sprintf("at most %.3g", goal), Met: value <= goal, Note: note}, value)
}

// measured gives f its value. The ratio to nothing is none.
func measured(f figure, value float64) figure {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		f.Met, f.Reason = false, "nothing was measured"
		return f
	}
	f.Value, f.Min, f.Max = &value, &value, &value
	return f
}

// beside is a figure without a goal.
func beside(row int, name string, value float64, note string) figure {
	return measured(figure{Row: row, Figure: name, Met: true, Note: note}, value)
}

// over is the median of a list of rounds as a figure, which judge makes of a value.
func over(list []float64, judge func(value float64) figure) figure {
	if len(list) == 0 {
		return judge(math.NaN())
	}
	list = slices.Sorted(slices.Values(list))
	f := judge(list[len(list)/2])
	if f.Value != nil {
		f.Min, f.Max = &list[0], &list[len(list)-1]
	}
	return f
}

// unmeasured is a figure without a value.
func unmeasured(row int, name, goal, reason string) figure {
	return figure{Row: row, Figure: name, Goal: goal, Reason: reason}
}

// sheet writes figures as they come.
type sheet struct {
	out    io.Writer
	json   bool // one object a line, else one line for a reader
	missed int  // figures that have a value and not their goal
}

func (s *sheet) write(f figure) error {
	if f.Value != nil && !f.Met {
		s.missed++
	}
	if s.json {
		return json.NewEncoder(s.out).Encode(f)
	}
	const form = "%2d  %-66s %9s  %-23s %-6s  %s%s\n"
	_, err := fmt.Fprintf(s.out, form, f.Row, f.Figure, f.text(), f.Goal, f.verdict(), f.Note, f.Reason)
	return err
}

// text is the value for a reader, with the rounds that differ from it.
func (f *figure) text() string {
	switch {
	case f.Value == nil:
		return "-"
	case *f.Min == *f.Max:
		return fmt.Sprintf("%.3f", *f.Value)
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", *f.Value, *f.Min, *f.Max)
}

func (f *figure) verdict() string {
	switch {
	case f.Goal == "":
		return ""
	case f.Met:
		return "met"
	case f.Value == nil:
		return "-"
	}
	return "missed"
}
