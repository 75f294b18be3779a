package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/process"
)

// run is one run of the command; its modes share it.
type run struct {
	dir     string // the working directory
	bin     string // the millrace command
	seed    uint64
	verbose io.Writer // progress; nil: none
	mode    string
	places  *atomic.Int64 // directories given out
}

// errUnavailable is returned when a mode cannot run on this machine.
var errUnavailable = errors.New("not available here")

// place returns a directory that no other sandbox has.
func (r *run) place() string {
	return filepath.Join(r.dir, fmt.Sprintf("%s-%d", r.mode, r.places.Add(1)))
}

// inSandbox makes a sandbox for do and returns the sandbox's result. The sandbox stays in place when a promise was
// broken.
func (r *run) inSandbox(o options, do func(*sandbox) error) (Result, error) {
	if o.bin == "" {
		o.bin = r.bin
	}
	if o.dir == "" {
		o.dir = r.place()
	}
	s, err := newSandbox(o)
	if err != nil {
		return Result{}, err
	}
	begin := time.Now()
	err = do(s)
	s.result.Seconds = time.Since(begin).Seconds()
	// A daemon that has ended by itself has broken a promise; the harness has not failed.
	if errors.Is(err, process.ErrEnded) {
		s.result.violate("%v", err)
		err = nil
	}
	err = errors.Join(err, s.close())
	if err == nil && s.result.held() {
		err = os.RemoveAll(o.dir)
	}
	return s.result, err
}

// progress prints how far a mode has got. n is 0 when the end is not known.
func (r *run) progress(i, n int) {
	switch {
	case r.verbose == nil:
	case n > 0:
		fmt.Fprintf(r.verbose, "\r%s: %d of %d ", r.mode, i, n)
	default:
		fmt.Fprintf(r.verbose, "\r%s: %d ", r.mode, i)
	}
}
