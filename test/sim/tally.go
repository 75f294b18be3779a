package main

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// tally is what became of recipients.
type tally struct {
	offered, taken, left, told4xx, dropped, received, twice, returned, handedBack, waiting int

	stock stock // guarded by the mutex of the Ledger

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
	case told4xx:
		t.told4xx++
	case dropped:
		t.dropped++
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

// figures are the numbers of the tally, in recipients and seconds; p50, p99 and max are delays, from the offer to the reception. most
// is how many Millrace had at one time; dropped is what an application has lost.
func (t *tally) figures(start time.Time) map[string]float64 {
	slices.Sort(t.delays)
	quantile := func(q float64) float64 {
		if len(t.delays) == 0 {
			return 0
		}
		return t.delays[int(q*float64(len(t.delays)-1))].Seconds()
	}
	f := map[string]float64{
		"offered": float64(t.offered), "taken": float64(t.taken), "left": float64(t.left), "told4xx": float64(t.told4xx), "dropped": float64(t.dropped), "most": float64(t.stock.most), "received": float64(t.received),
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
	name     string
	domain   string // of its addresses
	campaign string // as the daemon calls it
	tally

	// Guarded by the mutex of the Ledger.
	series series
	came   map[*Site]int // recipients received
	ahead  int           // the most recipients of others whom a receiver took between the offer of a message and its reception

	mu      sync.Mutex
	open    int // transactions under way, at all receivers
	peak    int
	replies []span // of the door
}

// span is the time between a message's begin at the door and the answer.
type span struct{ from, to time.Time }

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

// answered notes that the door has just answered for a message that began then.
func (s *Sender) answered(from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = append(s.replies, span{from, time.Now()})
}

// slow is how long an answer takes at least that was held.
const slow = 200 * time.Millisecond

// replyFigures are how long the door's answers took, and the most that were held at one time.
func replyFigures(f map[string]float64, replies []span) {
	var times []time.Duration
	var ends []moment
	for _, r := range replies {
		d := r.to.Sub(r.from)
		times = append(times, d)
		if d >= slow {
			ends = append(ends, moment{r.from, +1}, moment{r.to, -1})
		}
	}
	if slices.Sort(times); len(times) > 0 {
		f["reply_p50"], f["reply_p99"] = times[len(times)/2].Seconds(), times[int(0.99*float64(len(times)-1))].Seconds()
		f["reply_max"] = times[len(times)-1].Seconds()
	}
	slices.SortFunc(ends, func(a, b moment) int { return cmp.Or(a.at.Compare(b.at), a.n-b.n) })
	now, most := 0, 0
	for _, e := range ends {
		now += e.n
		most = max(most, now)
	}
	f["held"] = float64(most)
}

// moment is when something begins or ends.
type moment struct {
	at time.Time
	n  int
}

// others is how many recipients of other senders a site has taken. The mutex of the Ledger is held.
func (s *Sender) others(site *Site) int { return site.came - s.came[site] }

// figures are the numbers of the sender. "portion" is its part of what its receivers took in the second half of the run.
func (s *Sender) figures(start time.Time, length time.Duration) map[string]float64 {
	f := s.tally.figures(start)
	f["peak"], f["fastest"], f["ahead"] = float64(s.peak), s.series.fastest(), float64(s.ahead)
	replyFigures(f, s.replies)
	all := int32(0)
	for site := range s.came {
		all += site.series.between(length/2, length).received
	}
	if all > 0 {
		f["portion"] = float64(s.series.between(length/2, length).received) / float64(all)
	}
	return f
}
