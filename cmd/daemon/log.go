package daemon

import (
	"bytes"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
)

// NewLog returns the technical log, which writes each record as one line. Under systemd it has no clock: the system's
// journal adds its own.
func NewLog(w io.Writer, level hclog.Level) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "millrace", Level: level, Output: oneLine{w}, DisableTime: os.Getenv("JOURNAL_STREAM") != "",
	})
}

// oneLine writes each record as one line. hclog gives a value that has a newline lines of its own, and most values come from
// peers: a client's name must not be able to look like a record of the log. hclog writes each record with one call, and has
// escaped all control characters but the newline by then.
type oneLine struct{ w io.Writer }

// Write implements io.Writer for one record. It returns the length of the record and not of the line.
func (o oneLine) Write(record []byte) (int, error) {
	text := bytes.TrimSuffix(record, []byte("\n"))
	if bytes.IndexByte(text, '\n') >= 0 {
		text = append(flatten(text), '\n')
	} else {
		text = record
	}
	if _, err := o.w.Write(text); err != nil {
		return 0, err
	}
	return len(record), nil
}

// How hclog sets a value of several lines.
var (
	valueLine = []byte("  | ")
	keyEnd    = []byte("=")
)

// flatten puts a record of several lines into the form of the others: key="first\nsecond".
func flatten(record []byte) []byte {
	lines := bytes.Split(record, []byte("\n"))
	flat := bytes.TrimRight(lines[0], " ")
	within := 0 // lines of the value so far
	for i, line := range lines[1:] {
		switch value, ok := bytes.CutPrefix(line, valueLine); {
		case ok:
			if within++; within > 1 {
				flat = append(flat, `\n`...)
			}
			flat = append(flat, bytes.ReplaceAll(value, []byte(`"`), []byte(`\"`))...)
			continue
		case within > 0:
			flat, within = append(flat, '"'), 0
		case !startsValue(lines[i+1:]):
			flat = append(append(flat, `\n`...), line...) // of a message
			continue
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			flat = append(append(flat, ' '), line...)
		}
		if startsValue(lines[i+1:]) {
			flat = append(flat, '"')
		}
	}
	if within > 0 {
		flat = append(flat, '"')
	}
	return flat
}

// startsValue reports whether the first of these lines is the key of a value whose lines follow.
func startsValue(lines [][]byte) bool {
	return len(lines) > 1 && bytes.HasSuffix(lines[0], keyEnd) && bytes.HasPrefix(lines[1], valueLine)
}
