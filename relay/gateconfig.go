package relay

import (
	"fmt"
	"time"
)

// What a gate does with mail for which there is no room.
const (
	// OverflowLeave leaves it with the MTA, whose disk queue takes it.
	OverflowLeave = "leave"
	// OverflowTempfail has the MTA refuse it with 451 4.3.2. Only a client that tries again loses nothing by it.
	OverflowTempfail = "tempfail"
	// OverflowReturn leaves it with the MTA, which keeps it and offers it to our own SMTP listener until there is room. An MTA that cannot
	// do so delivers it, as with OverflowLeave.
	OverflowReturn = "return"
)

// IsOverflow reports whether a word of the configuration says what becomes of mail for which there is no room.
func IsOverflow(word string) bool {
	return word == OverflowLeave || word == OverflowTempfail || word == OverflowReturn
}

// maxHold is the longest that a reply may wait: clients give up after 30 seconds and more.
const maxHold = 25 * time.Second

// GateConfig is the [gate] table.
type GateConfig struct {
	MaxIntake      int           `toml:"max_intake"`       // messages that wait for their commit
	MaxIntakeDelay time.Duration `toml:"max_intake_delay"` // or so much work of the journal
	MaxDrain       time.Duration `toml:"max_drain"`        // the time that all waiting mail, or that of one site, takes to send; 0: no limit
	Hold           time.Duration `toml:"hold"`             // how long a reply waits for room; 0: not at all
	MaxHeld        int           `toml:"max_held"`         // replies that wait at the same time
	MTAProcesses   int           `toml:"mta_processes"`    // smtpd processes that the MTA may have (Postfix: default_process_limit); 0: not known
	Overflow       string        `toml:"overflow"`         // OverflowLeave, OverflowTempfail or OverflowReturn
	MaxOverflow    int           `toml:"max_overflow"`     // messages left with the MTA since the gate closed, beyond which the MTA refuses more; 0: any number
}

// DefaultGateConfig is the [gate] table of an empty file. A hold of 4 seconds is below every client's patience, listmonk's 5 seconds for
// a free connection included.
func DefaultGateConfig() GateConfig {
	return GateConfig{MaxIntake: 1000, MaxIntakeDelay: 3 * time.Second, Hold: 4 * time.Second, MaxHeld: 20, Overflow: OverflowLeave}
}

// Validate returns what is wrong, naming the key.
func (c GateConfig) Validate() error {
	switch {
	case c.MaxIntake < 1:
		return fmt.Errorf("max_intake: %d is less than 1", c.MaxIntake)
	case c.MaxIntakeDelay <= 0:
		return fmt.Errorf("max_intake_delay: %s is not a positive duration", c.MaxIntakeDelay)
	case c.MaxDrain < 0:
		return fmt.Errorf("max_drain: %s is negative; 0 is no limit", c.MaxDrain)
	case c.Hold < 0 || c.Hold > maxHold:
		return fmt.Errorf("hold: %s is not between 0s and %s; clients of the MTA would give up", c.Hold, maxHold)
	case c.MaxHeld < 0:
		return fmt.Errorf("max_held: %d is negative; 0 holds nothing", c.MaxHeld)
	case c.MTAProcesses < 0:
		return fmt.Errorf("mta_processes: %d is negative; 0 is not known", c.MTAProcesses)
	case !IsOverflow(c.Overflow):
		return fmt.Errorf("overflow: %q is none of %q, %q and %q", c.Overflow, OverflowLeave, OverflowReturn, OverflowTempfail)
	case c.MaxOverflow < 0:
		return fmt.Errorf("max_overflow: %d is negative; 0 is any number", c.MaxOverflow)
	}
	return nil
}
