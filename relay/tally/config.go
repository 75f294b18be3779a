package tally

import (
	"fmt"
	"time"
)

// Config is the [statistics] table.
type Config struct {
	// Campaigns is how many campaigns have counters of their own. One takes about 850 bytes of memory, and its faults up to 2 kB more.
	Campaigns int `toml:"campaigns"`
	// Keep is how long a campaign that has no mail left is remembered.
	Keep time.Duration `toml:"keep"`
}

// DefaultConfig is the [statistics] table of an empty file.
func DefaultConfig() Config { return Config{Campaigns: 10_000, Keep: 31 * 24 * time.Hour} }

// Validate returns the first mistake. The error begins with its key.
func (c Config) Validate() error {
	switch {
	case c.Campaigns < 100 || c.Campaigns > 100_000:
		return fmt.Errorf("campaigns: %d is not between 100 and 100000", c.Campaigns)
	case c.Keep < time.Hour || c.Keep > 10*365*24*time.Hour:
		return fmt.Errorf("keep: %s is not between 1h and 87600h", c.Keep)
	}
	return nil
}
