package main

import (
	"slices"
	"sync"
	"time"
)

// tally is what became of recipients.
type tally struct {
	offered, taken, left, received, twice, returned, handedBack, waiting int

	began       time.Time // when the first was offered
	first, last time.Time // when the first and the last were received
	delays      []time.Duration
}

// record counts a recipient. One that waits has a delay too: from the offer to the end.
func (t *tally) record(f *fate, waits bool, end time.Time) {
	if t.offered++; t.offered == 1 || f.offered.Before(t.began) {
		t.began = f.offered
	}
	switch f.verdict {
	case taken:
		t.taken++
	case left:
		t.left++
	}
	t.returned += min(f.returned, 1)
	t.handedBack += min(f.handedBack, 1)
	if waits {
		t.waiting++
		if len(f.received) == 0 {
			t.delays = append(t.delays, end.Sub(f.offered))
		}
	}
	if len(f.received) == 0 {
		return
	}
	at := f.received[0]
	t.received++
	t.twice += len(f.received) - 1
	t.delays = append(t.delays, at.Sub(f.offered))
	if t.first.IsZero() || at.Before(t.first) {
		t.first = at
	}
	if at.After(t.last) {
		t.last = at
	}
}

// figures are the numbers of the tally, in recipients and seconds; p50, p99 and max are delays, from the offer to the reception.
func (t *tally) figures(start time.Time) map[string]float64 {
	slices.Sort(t.delays)
	quantile := func(q float64) float64 {
		if len(t.delays) == 0 {
			return 0
		}
		return t.delays[int(q*float64(len(t.delays)-1))].Seconds()
	}
	f := map[string]float64{
		"offered": float64(t.offered), "taken": float64(t.taken), "left": float64(t.left), "received": float64(t.received),
		"twice": float64(t.twice), "returned": float64(t.returned), "handedback": float64(t.handedBack), "waiting": float64(t.waiting),
		"p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1), "first": 0, "last": 0, "rate": 0,
	}
	if t.received > 0 {
		f["first"], f["last"] = t.first.Sub(start).Seconds(), t.last.Sub(start).Seconds()
		if d := t.last.Sub(t.began).Seconds(); d > 0 {
			f["rate"] = float64(t.received) / d
		}
	}
	return f
}

// Sender is one source in the table: what became of its mail, and what the receivers saw of it.
type Sender struct {
	name string
	tally

	// Guarded by the mutex of the Ledger.
	series series
	came   map[*Site]int // recipients received
	ahead  int           // the most recipients of others whom a receiver took between the offer of a message and its reception

	mu   sync.Mutex
	open int // transactions under way, at all receivers
	peak int
}

func newSender(name string, start time.Time) *Sender {
	return &Sender{name: name, series: series{start: start}, came: make(map[*Site]int)}
}

// enter counts a transaction that begins at a receiver. The sender of a notification is nil.
func (s *Sender) enter() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	s.peak = max(s.peak, s.open)
}

// exit counts a transaction that ends.
func (s *Sender) exit() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// others is how many recipients of other senders a site has taken. The mutex of the Ledger is held.
func (s *Sender) others(site *Site) int { return site.came - s.came[site] }

// figures are the numbers of the sender. "portion" is its part of what its receivers took in the second half of the run.
func (s *Sender) figures(start time.Time, length time.Duration) map[string]float64 {
	f := s.tally.figures(start)
	f["peak"], f["fastest"], f["ahead"] = float64(s.peak), s.series.fastest(), float64(s.ahead)
	all := int32(0)
	for site := range s.came {
		all += site.series.between(length/2, length).received
	}
	if all > 0 {
		f["portion"] = float64(s.series.between(length/2, length).received) / float64(all)
	}
	return f
}
