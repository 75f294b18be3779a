package main

import (
	"fmt"
	"slices"
	"time"
)

// stall is how long a process that has something to do may not get to do it, on a machine that has much else to do.
const stall = 100 * time.Millisecond

// crash is one crash and what may be delivered twice because of it.
type crash struct {
	at    time.Time // when the daemon, or its disk, was cut off
	from  time.Time // what was decided before this was recorded
	until time.Time // nothing the daemon had sent arrived after this
	what  string
	disk  bool // it was the disk, and the daemon lived on for a while

	window int // W: how much may be delivered again
	twice  int // how much was
}

// crash ends the daemon by do, and notes what that may do twice. do may leave it to crash to kill the daemon.
func (s *site) crash(what string, do func() error) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.note(&crash{what: what, at: time.Now()}, do)
}

// alive returns errEnded when the daemon has ended before anybody has ended it.
func (s *site) alive() error {
	if s.daemon.over() {
		return fmt.Errorf("%w: %v: %s", errEnded, s.daemon.err, s.daemon.lastLine())
	}
	return nil
}

// note completes c, which begins now or has begun.
func (s *site) note(c *crash, do func() error) error {
	err := do()
	if err == nil {
		err = s.daemon.kill()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.what, err)
	}
	// A commit takes as long as the answers that wait for one; it may have to wait for the one before it.
	c.from = c.at.Add(-commitInterval - 2*s.ledger.crashed() - stall)
	if n := len(s.crashes); n > 0 && c.from.Before(s.crashes[n-1].until) {
		c.from = s.crashes[n-1].until
	}
	if err := s.quiet(); err != nil {
		return err
	}
	c.until = time.Now()
	s.crashes = append(s.crashes, c)
	return nil
}

// atOnce is what a mere kill does to begin with.
func atOnce() error { return nil }

// within returns the crash whose window t falls into, or nil.
func (s *site) within(t time.Time) *crash {
	i := s.firstUntil(t)
	if i < len(s.crashes) && !t.Before(s.crashes[i].from) {
		return s.crashes[i]
	}
	return nil
}

// failing returns the crash whose disk had been cut off at t while the daemon still ran, or nil.
func (s *site) failing(t time.Time) *crash {
	if c := s.within(t); c != nil && c.disk && t.After(c.at) {
		return c
	}
	return nil
}

// firstUntil finds the first crash that was not over at t.
func (s *site) firstUntil(t time.Time) int {
	i, _ := slices.BinarySearchFunc(s.crashes, t, func(c *crash, t time.Time) int { return c.until.Compare(t) })
	return i
}

// between returns the crashes that happened while something went on from begin to end.
func (s *site) between(begin, end time.Time) []*crash {
	var met []*crash
	for _, c := range s.crashes[s.firstUntil(begin):] {
		if c.from.After(end) {
			break
		}
		met = append(met, c)
	}
	return met
}
