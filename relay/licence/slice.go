package licence

import (
	"errors"
	"fmt"
	"time"
)

// asked is how the last question to the licence server went.
type asked struct {
	at      time.Time // of the last answer
	failure string
}

// Report is what an installation tells the licence server: absolute numbers, so that one that is lost, or comes twice, changes nothing.
type Report struct {
	Installation string `json:"installation"`
	Hostname     string `json:"hostname"`
	Version      string `json:"version,omitempty"` // of the program
	Sent         uint64 `json:"sent"`              // Counter.Used of the installation
	Left         uint64 `json:"left"`
	Holding      string `json:"holding,omitempty"` // serial of the slice in force: all older ones are void
}

// Answer is what the licence server answers.
type Answer struct {
	Slice   []byte `json:"slice,omitempty"`   // the file of a licence
	Refused string `json:"refused,omitempty"` // why there is none
}

// report is what the server is told now.
func (m *Meter) report(version string) Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	sent, left := m.deps.Counter.Used("")
	r := Report{Installation: m.state.Installation, Hostname: m.deps.Hostname, Version: version, Sent: sent, Left: left}
	if a := m.accounts[""]; a != nil {
		r.Left += a.reserved
	}
	if m.slice != nil {
		r.Holding = m.slice.Serial
	}
	m.reported = r.Sent + r.Left
	return r
}

// errNoSlice is the error for an answer without a slice.
var errNoSlice = errors.New("the licence server gives no slice")

// takeSlice judges a slice that the server has given, makes it durable and puts it in force. A slice that is refused leaves the old one.
func (m *Meter) takeSlice(text []byte, now time.Time) error {
	m.turning.Lock()
	defer m.turning.Unlock()
	m.mu.Lock()
	keys, id, held := m.keys, m.state.Installation, m.slice
	m.mu.Unlock()
	l, err := Open(text, keys)
	if err == nil {
		err = l.Check(now, m.deps.Hostname, id)
	}
	switch {
	case err != nil:
		return fmt.Errorf("the slice of the licence server is refused: %w", err)
	case l.Ceiling == 0 || l.Installation == "":
		return fmt.Errorf("the slice of the licence server is refused: %w: it names no ceiling or no installation", ErrMalformed)
	case held != nil && held.Serial == l.Serial:
		return nil
	}
	return m.holdSlice(&l, text, now)
}

// holdSlice makes a slice durable and puts it in force. turning is held.
func (m *Meter) holdSlice(l *Licence, text []byte, now time.Time) error {
	m.mu.Lock()
	next := m.state.clone()
	next.Slice = text
	if !m.keep(next) {
		defer m.mu.Unlock()
		return errors.New("the slice could not be made durable: " + m.failed)
	}
	m.state, m.slice = next, l
	m.askAt = l.Ceiling - (l.Ceiling-min(l.Ceiling, m.reported))/2
	m.mu.Unlock()
	m.turn(now)
	return nil
}
