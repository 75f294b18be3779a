package relay

import (
	"math"
	"time"
)

// meterTime is the time over which a meter forgets: what happened so long ago counts a third.
const meterTime = 20 * time.Second

// meter measures how often something happens, lately. It stands still while it is paused: a site without mail is as fast as it was.
// Whoever has it guards it by a mutex.
type meter struct {
	sum    float64 // things that happened, each weighed by its age
	seen   float64 // seconds that were looked at, weighed in the same way
	at     time.Time
	paused bool
}

// forget brings the meter up to now.
func (m *meter) forget(now time.Time) {
	if dt := now.Sub(m.at); dt > 0 && !m.paused && !m.at.IsZero() {
		left := math.Exp(-dt.Seconds() / meterTime.Seconds())
		m.sum *= left
		m.seen = m.seen*left + meterTime.Seconds()*(1-left)
	}
	if now.After(m.at) {
		m.at = now
	}
}

// add counts n things at now.
func (m *meter) add(n float64, now time.Time) {
	m.forget(now)
	m.sum += n
}

// pause stops the meter, or lets it go on.
func (m *meter) pause(paused bool, now time.Time) {
	m.forget(now)
	m.paused = paused
}

// leastSeen is the time, in seconds, below which a rate is a guess.
const leastSeen = 1

// rate is how many a second there were. known says that it is more than a guess.
func (m *meter) rate(now time.Time) (rate float64, known bool) {
	m.forget(now)
	return m.sum / max(m.seen, leastSeen), m.seen >= leastSeen
}
