package main

import (
	"slices"
	"sync"
	"time"
)

// Site is one receiver in the table.
type Site struct {
	name    string
	domains []string
	start   time.Time // of the run

	capacity float64 // messages a second that its mood at the start allows at most; 0: not measured. Set when the run is over

	mu       sync.Mutex
	attempts int // connections
	turned   int // connections and messages that a limit turned away
	putOff   int // recipients that got a 4xx
	peak     int // connections that were greeted, at once
	open     int
	began    time.Time // of the first connection
	changed  time.Time
	openTime time.Duration // connections times time
	minutes  []minute

	offered, taken, left, received, twice, returned, handedBack, waiting int // recipients
	first, last                                                          time.Time
	delays                                                               []time.Duration
}

// minute is what happened within one minute of the run.
type minute struct {
	Received int `json:"received"` // recipients
	Attempts int `json:"attempts"` // connections
	Refused  int `json:"refused"`
	Peak     int `json:"peak"`
}

// now is the present minute. The mutex is held.
func (s *Site) now() *minute {
	i := int(time.Since(s.start) / time.Minute)
	for len(s.minutes) <= i {
		s.minutes = append(s.minutes, minute{Peak: s.open})
	}
	return &s.minutes[i]
}

func (s *Site) served(rcpts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now().Received += rcpts
}

func (s *Site) connected(admitted bool, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	m := s.now()
	m.Attempts++
	if !admitted {
		s.turned++
		m.Refused++
	}
	s.peak, m.Peak = max(s.peak, open), max(m.Peak, open)
	s.count(open)
}

func (s *Site) disconnected(open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(open)
}

// count keeps the sum of connections over time.
func (s *Site) count(open int) {
	now := time.Now()
	if s.changed.IsZero() {
		s.began = now
	} else {
		s.openTime += time.Duration(s.open) * now.Sub(s.changed)
	}
	s.open, s.changed = open, now
}

func (s *Site) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turned++
	s.now().Refused++
}

func (s *Site) deferred() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putOff++
}

// sum adds a recipient to the table.
func (s *Site) sum(f *fate, waits bool) {
	s.offered++
	switch f.verdict {
	case taken:
		s.taken++
	case left:
		s.left++
	}
	s.returned += min(f.returned, 1)
	s.handedBack += min(f.handedBack, 1)
	if waits {
		s.waiting++
	}
	if len(f.received) == 0 {
		return
	}
	at := f.received[0]
	s.received++
	s.twice += len(f.received) - 1
	s.delays = append(s.delays, at.Sub(f.offered))
	if s.first.IsZero() || at.Before(s.first) {
		s.first = at
	}
	if at.After(s.last) {
		s.last = at
	}
}

// figures are the numbers of the site, in recipients, connections and seconds. Those that begin with "late_" are of the second half
// of the time in which something happened there: what the daemon can learn it has learned by then. "share" is what came then of
// what the receiver could have taken, for a scenario in which there was always mail, with one recipient each.
func (s *Site) figures() map[string]float64 {
	start := s.start
	slices.Sort(s.delays)
	quantile := func(q float64) float64 {
		if len(s.delays) == 0 {
			return 0
		}
		return s.delays[int(q*float64(len(s.delays)-1))].Seconds()
	}
	f := map[string]float64{
		"offered": float64(s.offered), "taken": float64(s.taken), "left": float64(s.left), "received": float64(s.received),
		"twice": float64(s.twice), "returned": float64(s.returned), "handedback": float64(s.handedBack), "waiting": float64(s.waiting),
		"attempts": float64(s.attempts), "refused": float64(s.turned), "deferred": float64(s.putOff), "peak": float64(s.peak),
		"p50": quantile(0.5), "p99": quantile(0.99), "first": 0, "last": 0, "rate": 0, "connections": 0,
	}
	if s.received > 0 {
		f["first"], f["last"] = s.first.Sub(start).Seconds(), s.last.Sub(start).Seconds()
		if d := s.last.Sub(start).Seconds(); d > 0 {
			f["rate"] = float64(s.received) / d
		}
	}
	if d := float64(len(s.minutes)/2) * 60; s.capacity > 0 && d > 0 {
		f["capacity"] = s.capacity
		for _, m := range s.minutes[len(s.minutes)/2 : len(s.minutes)/2*2] {
			f["share"] += float64(m.Received) / (s.capacity * d)
		}
	}
	settled := s.minutes[len(s.minutes)/2:]
	for _, m := range settled {
		f["late_received"] += float64(m.Received)
		f["late_attempts"] += float64(m.Attempts)
		f["late_refused"] += float64(m.Refused)
	}
	if d := s.changed.Sub(s.began).Seconds(); d > 0 {
		f["connections"] = s.openTime.Seconds() / d
	}
	return f
}
