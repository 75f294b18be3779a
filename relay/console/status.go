package console

import "github.com/millrace/millrace/relay"

// Status is the daemon in numbers.
type Status struct {
	relay.Status

	Version  string     `json:"version"` // as Build.String has it
	PID      int        `json:"pid"`
	Hostname string     `json:"hostname"`
	Mode     string     `json:"mode"`    // "deliver" or "observe"
	Started  int64      `json:"started"` // Unix seconds
	Uptime   int64      `json:"uptime"`  // seconds
	Doors    []Door     `json:"doors"`
	Pool     PoolStatus `json:"pool"`
	DNS      any        `json:"dns,omitempty"`     // the resolver's numbers, as it gives them
	Journal  any        `json:"journal,omitempty"` // the recovery agent's numbers, as it gives them
}

// Door is one way in. Its numbers count messages since start, but for Sessions.
type Door struct {
	Name      string      `json:"name"`     // "milter"
	Sessions  int64       `json:"sessions"` // connections open now
	Seen      int64       `json:"seen"`     // offered by the MTA
	Passed    int64       `json:"passed"`   // left with the MTA
	WouldTake int64       `json:"would_take"`
	Taken     int64       `json:"taken"`
	Rules     []RuleCount `json:"rules,omitempty"`
}

// RuleCount is how often one rule decided.
type RuleCount struct {
	Name      string `json:"name"`
	Seen      int64  `json:"seen"`       // messages it matched
	WouldTake int64  `json:"would_take"` // in observe mode
}

// PoolStatus is the connection pool in numbers.
type PoolStatus struct {
	Sites       int64 `json:"sites"`       // next hops known
	Connections int64 `json:"connections"` // open to all of them
	Busy        int64 `json:"busy"`        // of those, under way with a transaction
	Closed      int64 `json:"closed"`      // sites that take nothing for now
}
