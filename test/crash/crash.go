package main

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// crash is one crash and what may be delivered twice because of it.
type crash struct {
	at    time.Time // when the daemon, or its disk, was cut off
	until time.Time // nothing the daemon had sent arrived after this
	what  string
	disk  bool // it was the disk, and the daemon lived on for a while

	logged int64 // size of the mail log when the daemon was gone

	window int // W: how much may be delivered again
	twice  int // how much was
}

// crash ends the daemon by do, and notes what that may do twice. do may leave it to crash to kill the daemon.
func (s *sandbox) crash(what string, do func() error) error {
	if err := s.daemon.Ended(); err != nil {
		return err
	}
	return s.note(&crash{what: what, at: time.Now()}, do)
}

// note completes c, which begins now or has begun.
func (s *sandbox) note(c *crash, do func() error) error {
	err := do()
	if err == nil {
		err = s.daemon.Kill()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.what, err)
	}
	s.ledger.crashed()
	if err := s.quiet(); err != nil {
		return err
	}
	c.until = time.Now()
	if st, err := os.Stat(s.daemon.MailLogFile()); err == nil { // none was written if it did not live long enough
		c.logged = st.Size()
	}
	s.crashes = append(s.crashes, c)
	return nil
}

// atOnce is what a mere kill does to begin with.
func atOnce() error { return nil }

// dark returns the crash whose disk had just been cut off at t, while the daemon still ran, or nil.
func (s *sandbox) dark(t time.Time) *crash {
	i := s.firstUntil(t)
	if i < len(s.crashes) && s.crashes[i].disk && !t.Before(s.crashes[i].at) && t.Sub(s.crashes[i].at) <= stall {
		return s.crashes[i]
	}
	return nil
}

// firstUntil finds the first crash that was not over at t.
func (s *sandbox) firstUntil(t time.Time) int {
	i, _ := slices.BinarySearchFunc(s.crashes, t, func(c *crash, t time.Time) int { return c.until.Compare(t) })
	return i
}

// between returns the crashes that happened while something went on from begin to end.
func (s *sandbox) between(begin, end time.Time) []*crash {
	var met []*crash
	for _, c := range s.crashes[s.firstUntil(begin):] {
		if c.at.After(end) {
			break
		}
		met = append(met, c)
	}
	return met
}
