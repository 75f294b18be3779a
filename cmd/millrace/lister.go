package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"
)

// lister writes what a daemon lists while it reads it: a list may be larger than this program's memory.
type lister struct {
	w     *bufio.Writer
	json  bool
	now   time.Time
	count int // written as text
}

func newLister(cmd *cobra.Command, flags *clientFlags) lister {
	return lister{w: bufio.NewWriter(cmd.OutOrStdout()), json: flags.json, now: time.Now()}
}

// writeAll writes a list as text does, or with --json one object a line. None is what people read when the list is empty. A failed write
// stays in the writer; text returns it, so that the walk ends when the reader has left. What was read before an error is worth showing.
func writeAll[T any](l *lister, list iter.Seq2[T, error], text func(*T) error, none string) error {
	write := text
	if l.json {
		write = encoder[T](l.w)
	}
	for v, err := range list {
		if err == nil {
			err = write(&v)
		}
		if err != nil {
			return errors.Join(l.w.Flush(), err)
		}
	}
	if l.count == 0 && !l.json {
		l.w.WriteString(none)
	}
	return l.w.Flush()
}

// encoder writes one object a line. Names and addresses keep their < and &: the output is not for a web page.
func encoder[T any](w io.Writer) func(*T) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(v *T) error { return enc.Encode(v) }
}

// about has the error of a list say for which name it is. That name may hold anything, so it is cleaned.
func about[T any](name string, list iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range list {
			if err != nil {
				err = fmt.Errorf("%s: %w", clean(name), err)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// next begins the next block of facts: an empty line stands in front of all but the first.
func (l *lister) next() {
	if l.count++; l.count > 1 {
		l.w.WriteByte('\n')
	}
}

// fact writes one line of a block.
func (l *lister) fact(name, format string, args ...any) {
	fmt.Fprintf(l.w, "%-11s "+format+"\n", append([]any{name}, args...)...)
}

// age is how long ago a time was, in one or two units.
func (l *lister) age(unix int64) string {
	if unix == 0 {
		return "-"
	}
	return roughly(l.now.Sub(time.Unix(unix, 0)))
}
