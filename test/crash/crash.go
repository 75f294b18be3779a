package main

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// crash is one crash, and how much it has made arrive twice.
type crash struct {
	at    time.Time // when the daemon was killed or its disk cut off
	until time.Time // when all that the daemon had sent had arrived
	what  string
	disk  bool // the disk was cut off first, and the daemon lived on for a while

	logged int64 // size of the mail log when the daemon was gone

	window int // W: recipients who may get a message again
	twice  int // recipients who did
}

// crash calls do, kills the daemon if it still runs, and records the crash. The daemon must not have ended before.
func (s *sandbox) crash(what string, do func() error) error {
	if err := s.daemon.Ended(); err != nil {
		return err
	}
	return s.note(&crash{what: what, at: time.Now()}, do)
}

// note does the same for a crash that the caller describes by c and that may have begun already.
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
	if st, err := os.Stat(s.daemon.MailLogFile()); err == nil { // a daemon that lives too short a time writes no log
		c.logged = st.Size()
	}
	s.crashes = append(s.crashes, c)
	return nil
}

// atOnce is the do of a mere kill: nothing comes before it.
func atOnce() error { return nil }

// dark returns the crash whose disk was cut off at most stall before t while the daemon still ran, or nil.
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

// between returns the crashes that overlap the time from begin to end.
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
