package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Result is what a mode found. Its numbers count recipients of messages; only N, Caught and Seconds do not.
type Result struct {
	Mode           string `json:"mode"`
	N              int    `json:"n"`               // crashes, stops, states or faults, as the mode makes them
	Lost           int    `json:"lost"`            // answered for, but neither delivered, nor waiting, nor reported to the sender
	Phantom        int    `json:"phantom"`         // delivered although the message was never sent to its end, or was not taken
	Altered        int    `json:"altered"`         // delivered with other bytes
	WrongRecipient int    `json:"wrong_recipient"` // delivered to an address that is no recipient of the message
	Duplicates     int    `json:"duplicates"`      // delivered again because of one crash, at most
	Window         int    `json:"window"`          // W of one crash, at most: see crash.window
	Caught         int    `json:"caught"`          // selftest: seeded faults found

	Named        int      `json:"named"`       // named by the mail log of a restart: they may get the message twice
	Unexplained  int      `json:"unexplained"` // delivered again, and not named by the mail log
	AllTwice     int      `json:"duplicates_total"`
	Acknowledged int      `json:"acknowledged"`
	Delivered    int      `json:"delivered"`
	Seconds      float64  `json:"seconds"`
	Notes        []string `json:"notes,omitempty"`
	Violations   []string `json:"violations,omitempty"`  // broken promises in words: the first maxViolations of each kind
	Unavailable  string   `json:"unavailable,omitempty"` // why the mode could not run here

	kinds map[string]int // violations by kind
}

// maxViolations bounds the violations of each kind that are kept.
const maxViolations = 6

// violate records a broken promise. Violations of the same format are of one kind.
func (r *Result) violate(format string, args ...any) {
	if r.kinds == nil {
		r.kinds = make(map[string]int)
	}
	r.kinds[format]++
	switch n := r.kinds[format]; {
	case n < maxViolations:
		r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
	case n == maxViolations:
		r.Violations = append(r.Violations, fmt.Sprintf(format, args...)+"; and more like this")
	}
}

// note records a fact that is no violation.
func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// held reports whether all promises were kept.
func (r *Result) held() bool {
	return r.Lost+r.Phantom+r.Altered+r.WrongRecipient+r.Unexplained+len(r.Violations) == 0
}

// add puts the result p of a part of the mode's work into r.
func (r *Result) add(p Result) {
	r.N += p.N
	r.Lost += p.Lost
	r.Phantom += p.Phantom
	r.Altered += p.Altered
	r.WrongRecipient += p.WrongRecipient
	r.Duplicates = max(r.Duplicates, p.Duplicates)
	r.Window = max(r.Window, p.Window)
	r.Caught += p.Caught
	r.Unexplained += p.Unexplained
	r.Named += p.Named
	r.AllTwice += p.AllTwice
	r.Acknowledged += p.Acknowledged
	r.Delivered += p.Delivered
	for _, v := range p.Violations {
		r.violate(v[:min(len(v), 20)]+"%s", v[min(len(v), 20):])
	}
}

// writeJSON prints one object on a line.
func (r *Result) writeJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// verdict is the last column of the table.
func (r *Result) verdict() string {
	switch {
	case r.Unavailable != "":
		return "not run: " + r.Unavailable
	case r.held():
		return "held"
	}
	return "BROKEN"
}

// writeTable prints the results for a human.
func writeTable(w io.Writer, all []*Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "mode\tn\tacknowledged\tdelivered\tlost\tphantom\taltered\twrong rcpt\tduplicates\twindow\tunnamed\tcaught\tseconds\tpromises\t")
	for _, r := range all {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%s\t\n", r.Mode, r.N, r.Acknowledged, r.Delivered,
			r.Lost, r.Phantom, r.Altered, r.WrongRecipient, r.Duplicates, r.Window, r.Unexplained, r.Caught, r.Seconds, r.verdict())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range all {
		for _, v := range r.Violations {
			fmt.Fprintf(w, "%s: %s\n", r.Mode, v)
		}
		for _, n := range r.Notes {
			fmt.Fprintf(w, "%s: note: %s\n", r.Mode, n)
		}
	}
	return nil
}
