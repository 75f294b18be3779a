package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// failure is one way in which the disk fails: the n-th call op returns errno. With ENOSPC further calls fail for a
// while.
type failure struct {
	op    string
	errno unix.Errno
	n     int
}

// String implements fmt.Stringer.
func (f failure) String() string { return fmt.Sprintf("%v at %s %d", f.errno, f.op, f.n) }

// fullFor is how long a full disk stays full.
const fullFor = 300 * time.Millisecond

// ioerrMode lets each step-th system call of each kind fail: in one run with EIO, in another because the disk is full
// for a while. Then it cuts the power, so that a message is lost if the daemon answered for it although the call had
// failed.
func ioerrMode(r *run, step int) (Result, error) {
	calls, err := r.census()
	if err != nil {
		return Result{}, err
	}
	var todo []failure
	for _, op := range []string{"pwrite64", "fsync", "fdatasync", "rename", "open", "ftruncate", "fallocate"} {
		for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
			for _, n := range every(calls[op], step) {
				todo = append(todo, failure{op, errno, n})
			}
		}
	}
	delete(calls, "")
	sum, err := r.parallel(len(todo), func(r *run, i int) (Result, bool, error) { return r.failAt(options{}, todo[i]) })
	sum.note("every %s of these calls failed: %v", ordinal(step), calls)
	return sum, err
}

func ordinal(n int) string {
	if n == 1 {
		return "one"
	}
	return fmt.Sprintf("%d-th", n)
}

// failAt plays the script on a disk that fails once. It reports whether the script reached the failure.
func (r *run) failAt(o options, f failure) (Result, bool, error) {
	b := &badDisk{failure: f, gone: make(map[string]int), hit: make(chan struct{})}
	res, err := r.atDisk(o, func(s *sandbox, d *disk) error { return b.play(s, d) })
	for i, v := range res.Violations {
		res.Violations[i] = f.String() + ": " + v
	}
	return res, b.met(), err
}

// badDisk fails once, or for a while. After a failed fsync it behaves as Linux does: the data is gone, and the next
// fsync of the same file reports success. A daemon that has seen the failure must not ask for that one. A later start may, for
// what it has written itself: it names the next segment in the last one.
type badDisk struct {
	failure failure
	hit     chan struct{} // closed at the first failure

	mu    sync.Mutex
	count int
	since time.Time
	gone  map[string]int // files whose sync has failed, and in which start
	again string         // one of them that was synced again in that start, "" if none
}

func (b *badDisk) met() bool {
	select {
	case <-b.hit:
		return true
	default:
		return false
	}
}

// decide is for tap.decide.
func (b *badDisk) decide(c *call) decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.fails(c):
		if c.op == "fsync" || c.op == "fdatasync" {
			b.gone[c.path] = c.start
		}
		return decision{errno: b.failure.errno}
	case b.gone[c.path] > 0 && (c.op == "fsync" || c.op == "fdatasync") && strings.Contains(c.path, "."):
		if b.gone[c.path] == c.start {
			b.again = c.path
		}
		return decision{lie: true}
	}
	return decision{}
}

// fails reports whether c must fail. The caller holds the mutex.
func (b *badDisk) fails(c *call) bool {
	if !b.since.IsZero() {
		return b.failure.errno == unix.ENOSPC && time.Since(b.since) < fullFor && needsSpace(c.op)
	}
	if c.op != b.failure.op {
		return false
	}
	if b.count++; b.count < b.failure.n {
		return false
	}
	b.since = time.Now()
	close(b.hit)
	return true
}

// needsSpace reports whether a call fails on a full disk. A sync does not: the space is allocated by then.
func needsSpace(op string) bool { return op == "fallocate" || op == "open" || op == "pwrite64" }

// play plays the script on the failing disk. A daemon that gives up is started again, as a supervisor would do. A
// daemon that goes on must take mail again by itself.
func (b *badDisk) play(s *sandbox, d *disk) error {
	s.through(&tap{decide: b.decide})
	p := &script{sandbox: s, hit: b.hit}
	if _, err := p.play(); err != nil {
		return err
	}
	if b.met() {
		b.aftermath(s)
	}
	s.through(nil)
	c := &crash{what: "power cut after " + b.failure.String(), at: time.Now()}
	err := s.note(c, func() error {
		return errors.Join(s.daemon.Kill(), d.cut(cutNothing), d.remount(5))
	})
	if err != nil {
		return err
	}
	if err := s.recover(); err != nil {
		return err
	}
	if b.again != "" {
		s.result.violate("%s was synced again after its sync had failed", b.again)
	}
	if err := p.complete(); err != nil {
		return err
	}
	return s.finish()
}

// aftermath waits until the daemon takes mail again or has ended, at most for healLimit.
func (b *badDisk) aftermath(s *sandbox) {
	time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
	before, _ := s.ledger.answers()
	g := s.generate(load{conns: 2, pause: 5 * time.Millisecond, prefix: "h"})
	defer g.stop()
	for end := time.Now().Add(healLimit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s.daemon.Over() {
			b.gaveUp(s)
			return
		}
		if now, _ := s.ledger.answers(); now > before {
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			return
		}
	}
	s.result.violate("the daemon did not take mail again within %s: %s", healLimit, s.daemon.LastLine())
}

// healLimit is how long a daemon may take no mail after its disk has healed.
const healLimit = 10 * time.Second

// gaveUp checks that a daemon that has ended because of its disk has said why.
func (b *badDisk) gaveUp(s *sandbox) {
	if err := s.daemon.Failure(); err != nil && len(s.daemon.LastWords()) == 0 {
		s.result.violate("the daemon ended without a clear line: %v", err)
	}
}
