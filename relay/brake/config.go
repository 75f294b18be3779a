package brake

import "fmt"

// Config is the [stop] table.
type Config struct {
	Enabled bool `toml:"enabled"` // false: a campaign goes on whatever receivers answer
	After   int  `toml:"after"`   // refusals of its sender after which a campaign is stopped at a provider
}

// maxAfter bounds Config.After: so many answers are remembered twice over for each campaign and provider.
const maxAfter = 10_000

// DefaultConfig is the table that an empty file has.
func DefaultConfig() Config { return Config{Enabled: true, After: 20} }

// Validate returns the first mistake. The error begins with its key.
func (c Config) Validate() error {
	if c.After < 1 || c.After > maxAfter {
		return fmt.Errorf("after: %d is not from 1 to %d; give enabled = false to stop nothing", c.After, maxAfter)
	}
	return nil
}
