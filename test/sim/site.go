package main

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/relay/pool"
)

// Site is one receiver in the table.
type Site struct {
	name    string
	of      string // what it is a copy of; else ""
	domains []string
	start   time.Time // of the run
	phases  []phase   // their capacity is set when the run is over
	tally

	came int // recipients received; guarded by the mutex of the Ledger

	mu       sync.Mutex
	attempts int // connections
	turned   int // connections that a limit turned away
	limited  int // messages that a limit turned away
	putOff   int // recipients that got a 4xx
	unauth   int // recipients that got a 5.7.26
	peak     int // connections that were greeted, at once
	open     int
	dialled  time.Time // the first connection
	changed  time.Time
	openTime time.Duration // connections times time
	minutes  []minute
	series   series
	days     map[netip.Addr][]int // recipients received, by the address that brought them and the day of the run
	reopened time.Time            // when it first took mail again after a time without, or changed its mood
	paces    int                  // the most paces by which the daemon fed it at one time
}

func newSite(name string, start time.Time) *Site {
	return &Site{name: name, start: start, domains: []string{name}, series: series{start: start}, days: make(map[netip.Addr][]int)}
}

// now is the present minute. The mutex is held.
func (s *Site) now() *minute {
	i := int(time.Since(s.start) / time.Minute)
	for len(s.minutes) <= i {
		s.minutes = append(s.minutes, minute{Peak: s.open})
	}
	return &s.minutes[i]
}

// offer notes that a recipient of the site was offered to Millrace.
func (s *Site) offer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now().Offered++
	s.series.present().offered++
}

// heard notes that the MTA is rid of a recipient of the site.
func (s *Site) heard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now().Taken++
}

// served notes that recipients were taken from a client.
func (s *Site) served(client netip.Addr, rcpts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now().Received += rcpts
	s.series.present().received += int32(rcpts)
	day := int(time.Since(s.start) / (24 * time.Hour))
	for len(s.days[client]) <= day {
		s.days[client] = append(s.days[client], 0)
	}
	s.days[client][day] += rcpts
}

func (s *Site) connected(admitted bool, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	s.series.present().attempts++
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
		s.dialled = now
	} else {
		s.openTime += time.Duration(s.open) * now.Sub(s.changed)
	}
	s.open, s.changed = open, now
}

// overRate notes a message that came faster than the site's rate allows.
func (s *Site) overRate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limited++
	s.now().Limited++
}

func (s *Site) deferred() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putOff++
	s.now().Deferred++
}

// refuseSender notes recipients who were refused because of the sender.
func (s *Site) refuseSender(rcpts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unauth += rcpts
}

// reopens notes that the site takes mail again, or takes it otherwise.
func (s *Site) reopens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reopened.IsZero() {
		s.reopened = time.Now()
	}
}

// sampled notes what the daemon says about the site, of which it may have a pace for each of its source addresses.
func (s *Site) sampled(paces []pool.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paces = max(s.paces, len(paces))
	m := s.now()
	m.Agents, m.Waiting, m.Window, m.Rate = 0, 0, 0, 0
	for _, p := range paces {
		m.Agents += p.Channels
		m.Waiting += p.Waiting
		m.Window += p.Window
		m.Rate += p.Rate
	}
}

// figures are the numbers of the site, in recipients, connections and seconds:
//
//	refused        connections that a limit turned away; refused_share: of all, in the second half of the minutes of the run
//	unauth         recipients who were refused because of the sender
//	limited        messages that a rate turned away; limited_share: of those tried, in the second half
//	peak           connections at once
//	storm          the most connections within one second, since the site first reopened
//	capacity       messages a second that an ideal client would bring, in the first phase
//	share          what came of what could have come, in the second half of the phase: the worst of the phases. Where a receiver has
//	               no limit it is compared with what was offered. One recipient each, and always mail, or it says nothing
//	learned        how long it took until no minute of the phase was below nine tenths of that: the longest of the phases
//	fastest        the most within a minute, per second
//	paces          the most paces by which the daemon fed it
//	late_...       the second half of the minutes
func (s *Site) figures(length time.Duration) map[string]float64 {
	f := s.tally.figures(s.start)
	f["attempts"], f["refused"], f["limited"], f["deferred"] = float64(s.attempts), float64(s.turned), float64(s.limited), float64(s.putOff)
	f["unauth"] = float64(s.unauth)
	f["peak"], f["paces"], f["fastest"], f["connections"] = float64(s.peak), float64(s.paces), s.series.fastest(), 0
	since := time.Duration(0)
	if !s.reopened.IsZero() {
		since = s.reopened.Sub(s.start)
	}
	f["storm"] = float64(s.series.storm(since))
	s.judgePhases(f, length)
	for _, m := range s.minutes[len(s.minutes)/2:] {
		f["late_received"] += float64(m.Received)
		f["late_taken"] += float64(m.Taken)
		f["late_attempts"] += float64(m.Attempts)
		f["late_refused"] += float64(m.Refused)
		f["late_limited"] += float64(m.Limited)
	}
	if n := f["late_limited"] + f["late_received"]; n > 0 {
		f["limited_share"] = f["late_limited"] / n
	}
	if n := f["late_attempts"]; n > 0 {
		f["refused_share"] = f["late_refused"] / n
	}
	if d := s.changed.Sub(s.dialled).Seconds(); d > 0 {
		f["connections"] = s.openTime.Seconds() / d
	}
	return f
}

func (s *Site) judgePhases(f map[string]float64, length time.Duration) {
	var shares, times []float64
	for _, p := range s.phases {
		if p.trim(&s.series, length) {
			shares = append(shares, p.share(&s.series))
			times = append(times, p.learned(&s.series).Seconds())
		}
	}
	if len(shares) > 0 {
		f["share"], f["learned"] = slices.Min(shares), slices.Max(times)
		f["capacity"] = s.phases[0].capacity
	}
}

// byAddress is what came from each address, under "SITE/ADDRESS": "received", and "day1" and so on.
func (s *Site) byAddress() map[string]map[string]float64 {
	table := make(map[string]map[string]float64)
	for addr, days := range s.days {
		f := make(map[string]float64)
		for i, n := range days {
			f[fmt.Sprintf("day%d", i+1)] = float64(n)
			f["received"] += float64(n)
		}
		table[s.name+"/"+addr.String()] = f
	}
	return table
}
