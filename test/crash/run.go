package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// run is what all modes of one command share.
type run struct {
	dir     string // everything of the run lies below it
	bin     string // the daemon
	seed    uint64
	verbose io.Writer // progress; nil: none
	mode    string
	sites   *atomic.Int64 // places given out
}

// errUnavailable is returned when a mode cannot run on this machine.
var errUnavailable = errors.New("not available here")

// place returns a directory that is nobody else's.
func (r *run) place() string {
	return filepath.Join(r.dir, fmt.Sprintf("%s-%d", r.mode, r.sites.Add(1)))
}

// atSite makes a site for do, and returns what was found there. The site's directory is kept when a promise was broken.
func (r *run) atSite(o options, do func(*site) error) (Result, error) {
	if o.bin == "" {
		o.bin = r.bin
	}
	if o.dir == "" {
		o.dir = r.place()
	}
	s, err := newSite(o)
	if err != nil {
		return Result{}, err
	}
	begin := time.Now()
	err = do(s)
	s.result.Seconds = time.Since(begin).Seconds()
	// What killed the daemon for good is a finding, not a failure of the harness.
	if errors.Is(err, errEnded) {
		s.result.violate("%v", err)
		err = nil
	}
	err = errors.Join(err, s.close())
	if err == nil && s.result.held() {
		err = os.RemoveAll(o.dir)
	}
	return s.result, err
}

// progress tells how far a mode has got. n is 0 when nobody knows how far it will go.
func (r *run) progress(i, n int) {
	switch {
	case r.verbose == nil:
	case n > 0:
		fmt.Fprintf(r.verbose, "\r%s: %d of %d ", r.mode, i, n)
	default:
		fmt.Fprintf(r.verbose, "\r%s: %d ", r.mode, i)
	}
}
