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
	at     time.Time
	paused bool
}

// forget brings the meter up to now.
func (m *meter) forget(now time.Time) {
	if dt := now.Sub(m.at); dt > 0 && !m.paused {
		m.sum *= math.Exp(-dt.Seconds() / meterTime.Seconds())
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

// rate is how many a second there were.
func (m *meter) rate(now time.Time) float64 {
	m.forget(now)
	return m.sum / meterTime.Seconds()
}
