package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// figure is one line of what pace, isolation, fair and gate show.
type figure struct {
	Row    int      `json:"row"` // figures of one row belong together
	Figure string   `json:"figure"`
	Value  *float64 `json:"value"` // nil: it could not be measured
	Goal   string   `json:"goal"`
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
	f.Value = &value
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
	value, verdict := "-", "missed"
	if f.Value != nil {
		value = fmt.Sprintf("%.3f", *f.Value)
	}
	if f.Met {
		verdict = "met"
	}
	_, err := fmt.Fprintf(s.out, "%d  %-66s %9s  %-23s %-6s  %s%s\n", f.Row, f.Figure, value, f.Goal, verdict, f.Note, f.Reason)
	return err
}
