package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"
)

// stopLimit is how long a clean stop may take.
const stopLimit = 30 * time.Second

// stopMode sends SIGTERM, SIGHUP or SIGTERM twice, n times under load. A stop is recorded as an event and not as a
// crash, so that no duplicate has an excuse.
func stopMode(r *run, n int) (Result, error) {
	return r.inSandbox(options{}, func(s *sandbox) error {
		sent, longest := 0, time.Duration(0)
		err := s.underLoad(r, 2, n, func(rng *rand.Rand) (int, error) {
			took, err := s.signalOnce(sent, rng)
			longest = max(longest, took)
			sent++
			return sent, err
		})
		s.result.note("the longest stop took %.2f s", longest.Seconds())
		return err
	})
}

// signalOnce sends the i-th signal. It returns how long the daemon took to end: 0 for SIGHUP.
func (s *sandbox) signalOnce(i int, rng *rand.Rand) (time.Duration, error) {
	if i%3 == 1 {
		return 0, s.reload(i)
	}
	begin, what := time.Now(), "SIGTERM"
	defer func() { s.events = append(s.events, event{what, begin, time.Now()}) }()
	s.daemon.Signal(syscall.SIGTERM)
	if i%3 == 2 {
		what = "SIGTERM twice"
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		s.daemon.Signal(syscall.SIGTERM)
	}
	if err := s.daemon.Gone(stopLimit); err != nil {
		s.result.violate("stop %d, %s: %v", i, what, err)
	} else if err := s.daemon.Failure(); err != nil {
		s.result.violate("stop %d, %s: %v", i, what, err)
	}
	took := time.Since(begin)
	if err := s.quiet(); err != nil {
		return took, err
	}
	if err := s.recover(); err != nil {
		return took, err
	}
	if journal, err := s.daemon.Journal(); err == nil && !journal.Recovery.Clean {
		s.result.violate("stop %d: the next start does not find a clean stop: %s", i, journal.Recovery.String())
	}
	return took, nil
}

// reload changes retry.schedule, sends SIGHUP, and waits until the daemon says that it has reloaded.
func (s *sandbox) reload(i int) error {
	text, err := s.daemon.Configured()
	if err != nil {
		return err
	}
	old, now := `["200ms"]`, `["201ms"]`
	if strings.Contains(text, now) {
		old, now = now, old
	}
	if err := s.daemon.Configure(strings.Replace(text, old, now, 1)); err != nil {
		return err
	}
	before := strings.Count(s.daemon.Log(), "reloaded")
	s.daemon.Signal(syscall.SIGHUP)
	for end := time.Now().Add(stopLimit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.daemon.Over() {
			return fmt.Errorf("SIGHUP: %w", s.daemon.Ended())
		}
		if strings.Count(s.daemon.Log(), "reloaded") > before {
			return nil
		}
	}
	s.result.violate("stop %d: SIGHUP brought no reload within %s", i, stopLimit)
	return nil
}
