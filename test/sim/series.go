package main

import (
	"time"
)

// second is what happened within one second.
type second struct{ offered, received, attempts int32 } // recipients, recipients, connections

// series is what happened second by second since the start of the run.
type series struct {
	start time.Time
	of    []second
}

// present is this second.
func (s *series) present() *second {
	i := int(time.Since(s.start) / time.Second)
	if i >= len(s.of) {
		s.of = append(s.of, make([]second, i+1-len(s.of))...)
	}
	return &s.of[i]
}

// between sums up the seconds from one time of the run to another.
func (s *series) between(from, to time.Duration) (sum second) {
	last := min(int(to/time.Second), len(s.of))
	for _, x := range s.of[min(int(from/time.Second), last):last] {
		sum.offered += x.offered
		sum.received += x.received
		sum.attempts += x.attempts
	}
	return sum
}

// offering is how long something was offered.
func (s *series) offering() time.Duration {
	for i := len(s.of) - 1; i >= 0; i-- {
		if s.of[i].offered > 0 {
			return time.Duration(i+1) * time.Second
		}
	}
	return 0
}

// fastest is the most that was received within a minute, per second.
func (s *series) fastest() float64 {
	most, sum := 0, 0
	for i, x := range s.of {
		sum += int(x.received)
		if i >= 60 {
			sum -= int(s.of[i-60].received)
		}
		most = max(most, sum)
	}
	return float64(most) / 60
}

// storm is the most connection attempts within one second, from a time on.
func (s *series) storm(from time.Duration) (most int32) {
	for _, x := range s.of[min(int(from/time.Second), len(s.of)):] {
		most = max(most, x.attempts)
	}
	return most
}

// minute is what happened within one minute of the run.
type minute struct {
	Offered  int     `json:"offered"`  // recipients
	Taken    int     `json:"taken"`    // recipients
	Received int     `json:"received"` // recipients
	Deferred int     `json:"deferred"` // recipients
	Attempts int     `json:"attempts"` // connections
	Refused  int     `json:"refused"`  // connections
	Limited  int     `json:"limited"`  // messages, by the rate
	Peak     int     `json:"peak"`     // connections at once
	Agents   int     `json:"agents"`   // those at work when the minute was over, by the daemon's own word
	Waiting  int     `json:"waiting"`  // queues in line, by the daemon's own word
	Window   int     `json:"window"`   // agents that may be at work, by the daemon's own word; of all source addresses together
	Rate     float64 `json:"rate"`     // messages a second, by the daemon's own word; 0: no limit
}

// phase is a time in which a receiver's limits stay what they are. What a daemon can learn of them it has to learn anew in each.
type phase struct {
	from, to time.Duration
	mood     Mood
	capacity float64 // recipients a second that an ideal client would bring; 0: as many as are offered
}

// trim ends the phase when the last mail was offered. It reports whether enough of it is left to be judged.
func (p *phase) trim(s *series, length time.Duration) bool {
	p.to = min(p.to, length, s.offering())
	return p.mood.takes() && p.to-p.from >= 10*time.Second
}

// due is how much the receiver would have taken between two times.
func (p *phase) due(s *series, from, to time.Duration) float64 {
	if p.capacity > 0 {
		return p.capacity * (to - from).Seconds()
	}
	return float64(s.between(from, to).offered)
}

// share is what came in the second half of the phase of what could have come.
func (p *phase) share(s *series) float64 {
	half := (p.from + p.to) / 2
	due := p.due(s, half, p.to)
	if due == 0 {
		return 1
	}
	return float64(s.between(half, p.to).received) / due
}

// learned is how long it took until each minute from then on brought nine tenths of what could have come. All of the phase: until
// its end the daemon did not know.
func (p *phase) learned(s *series) time.Duration {
	const step = 10 * time.Second
	known := p.from
	for t := p.from; t+time.Minute <= p.to; t += step {
		if float64(s.between(t, t+time.Minute).received) < 0.9*p.due(s, t, t+time.Minute) {
			known = t + step
		}
	}
	if known+time.Minute > p.to {
		return p.to - p.from
	}
	return known - p.from
}
