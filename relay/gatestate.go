package relay

import "time"

// GateState says how a gate meets new mail. A larger one is stricter.
type GateState uint8

// States of a gate.
const (
	GateOpen     GateState = iota // mail is taken
	GateHold                      // replies wait for room
	GateOverflow                  // some have waited in vain, or need not wait: mail is left with the MTA
	GateTempfail                  // the MTA is asked to refuse mail for now
)

var gateStateNames = [...]string{"open", "hold", "overflow", "tempfail"}

// String is the state's stable name, for JSON, log and metrics.
func (s GateState) String() string { return gateStateNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s GateState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. A state of a newer daemon reads as GateOverflow: mail is not taken.
func (s *GateState) UnmarshalText(text []byte) error {
	*s = GateOverflow
	for i, name := range gateStateNames {
		if name == string(text) {
			*s = GateState(i)
		}
	}
	return nil
}

// GateChange is one step of a gate, for the log.
type GateChange struct {
	Of   string // "all mail", "site" or "tenant"
	Name string // of the site or tenant
	From GateState
	To   GateState
	Why  Reason // of To; of From when To is GateOpen
	For  time.Duration
	Left int // messages left with the MTA since it was open
}

// sluice is the state of one gate: of all mail, of a site, or of a tenant. Whoever has it guards it by a mutex.
type sluice struct {
	state GateState
	since time.Time
	shut  time.Time // when it was last open
	why   Reason
	left  int // messages left with the MTA since then
}

// enter changes the state, and reports false if it is the same. The reason of a state that stays is replaced, its time is not.
func (s *sluice) enter(next GateState, why Reason, now time.Time) (GateChange, bool) {
	old := *s
	if next != GateOpen {
		s.why = why
	}
	if next == old.state {
		return GateChange{}, false
	}
	s.state, s.since = next, now
	change := GateChange{From: old.state, To: next, Why: s.why, Left: old.left}
	switch {
	case old.state == GateOpen:
		s.shut = now
	case next == GateOpen:
		change.For = now.Sub(s.shut)
		s.left, s.why = 0, Reason{}
	}
	return change, true
}

// noteLeft counts a message that was left with the MTA, and says which state the gate has then. most is GateConfig.MaxOverflow.
func (s *sluice) noteLeft(most int) GateState {
	if s.left++; most > 0 && s.left >= most {
		return GateTempfail
	}
	return max(s.state, GateOverflow)
}
