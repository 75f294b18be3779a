package pool

import (
	"fmt"
	"time"
)

// Config is the [pool] table.
type Config struct {
	ConnectionsPerSite    int             `toml:"connections_per_site"`    // open at one site at the same time
	MessagesPerConnection int             `toml:"messages_per_connection"` // then QUIT and a new one
	Idle                  time.Duration   `toml:"idle"`                    // how long a connection without work is kept
	ClosedFor             []time.Duration `toml:"closed_for"`              // how long a site that cannot be reached is left alone, by failures in a row
	TLS                   string          `toml:"tls"`                     // "opportunistic" or "none"
	BDAT                  string          `toml:"bdat"`                    // "on" or "off": several small messages in one round trip where a receiver offers it
	Slice                 int             `toml:"slice"`                   // messages of one queue before another queue of the site has its turn
}

// DefaultConfig is the [pool] table of an empty file.
//
// Twenty connections are what Postfix opens to one destination at most; Pace finds how many of them a receiver takes and can use.
// A hundred messages over one connection is usual among engines for bulk mail; a receiver that allows less says so. Idle connections
// are kept for as long as a campaign pauses between two messages for a site; a receiver may close them after five minutes
// (RFC 5321 section 4.5.3.2.7), and many do sooner. A site that cannot be reached is tried each minute at first, because most outages
// are restarts and a probe costs one connection. A slice is long enough to use a connection well and short enough that the other
// queues of a site wait for seconds only.
func DefaultConfig() Config {
	m := time.Minute
	return Config{
		ConnectionsPerSite: 20, MessagesPerConnection: 100, Idle: 30 * time.Second,
		ClosedFor: []time.Duration{m, m, m, m, m, 2 * m, 2 * m, 5 * m, 10 * m, 30 * m},
		TLS:       "opportunistic", BDAT: "off", Slice: 50,
	}
}

// Validate returns what is wrong, naming the key.
func (c Config) Validate() error {
	switch {
	case c.ConnectionsPerSite < 1:
		return fmt.Errorf("connections_per_site: %d is less than 1", c.ConnectionsPerSite)
	case c.MessagesPerConnection < 1:
		return fmt.Errorf("messages_per_connection: %d is less than 1", c.MessagesPerConnection)
	case c.Idle <= 0:
		return fmt.Errorf("idle: %s is not a positive duration", c.Idle)
	case len(c.ClosedFor) == 0:
		return fmt.Errorf(`closed_for: is empty; give at least one duration, like ["1m"]`)
	case c.TLS != "opportunistic" && c.TLS != "none":
		return fmt.Errorf(`tls: %q is not a mode; use "opportunistic" or "none"`, c.TLS)
	case c.BDAT != "on" && c.BDAT != "off":
		return fmt.Errorf(`bdat: %q is neither "on" nor "off"`, c.BDAT)
	case c.Slice < 1:
		return fmt.Errorf("slice: %d is less than 1", c.Slice)
	}
	for _, d := range c.ClosedFor {
		if d <= 0 {
			return fmt.Errorf("closed_for: %s is not a positive duration", d)
		}
	}
	return nil
}
