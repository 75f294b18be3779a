package relay

import (
	"fmt"
	"time"
)

// QueueConfig is the [queue] table.
type QueueConfig struct {
	Order       string        `toml:"order"`        // "round-robin", "longest" or "longest-aged"
	MaxLength   int           `toml:"max_length"`   // nodes in one queue before it gets a sibling
	MaxAge      time.Duration `toml:"max_age"`      // longest-aged: a queue that waited longer goes first
	MaxMessages int           `toml:"max_messages"` // messages in memory; above it the MTA keeps its mail
	MaxBytes    int64         `toml:"max_bytes"`    // memory for them and for all else that grows with mail; 0: a share of the machine's
	Channels    int           `toml:"channels"`     // queues emptied at the same time: connections in use, all sites together
}

// DefaultQueueConfig is the [queue] table of an empty file.
func DefaultQueueConfig() QueueConfig {
	return QueueConfig{
		Order: "round-robin", MaxLength: 10_000, MaxAge: time.Minute,
		MaxMessages: 1_000_000, Channels: 500,
	}
}

// Validate returns what is wrong, naming the key.
func (c QueueConfig) Validate() error {
	if _, err := ParseOrder(c.Order); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	switch {
	case c.MaxLength < 1:
		return fmt.Errorf("max_length: %d is less than 1", c.MaxLength)
	case c.MaxAge <= 0:
		return fmt.Errorf("max_age: %s is not a positive duration", c.MaxAge)
	case c.MaxMessages < 1:
		return fmt.Errorf("max_messages: %d is less than 1", c.MaxMessages)
	case c.MaxBytes != 0 && c.MaxBytes < 1<<20:
		return fmt.Errorf("max_bytes: %d is less than 1048576; 0 is a share of this machine's memory", c.MaxBytes)
	case c.Channels < 1:
		return fmt.Errorf("channels: %d is less than 1", c.Channels)
	}
	return nil
}

// RetryConfig is the [retry] table.
type RetryConfig struct {
	Schedule []time.Duration `toml:"schedule"` // wait after the n-th failed visit; the last one repeats
	Jitter   float64         `toml:"jitter"`   // share by which each wait is made shorter or longer at random
	Lifetime time.Duration   `toml:"lifetime"` // a recipient still waiting then is returned as expired; a notification lives for five days at least
}

// DefaultRetryConfig is the [retry] table of an empty file.
func DefaultRetryConfig() RetryConfig {
	m := time.Minute
	return RetryConfig{
		Schedule: []time.Duration{2 * m, 5 * m, 10 * m, 20 * m, 40 * m, 60 * m, 120 * m},
		Jitter:   0.2, Lifetime: 48 * time.Hour,
	}
}

// Validate returns what is wrong, naming the key.
func (c RetryConfig) Validate() error {
	if len(c.Schedule) == 0 {
		return fmt.Errorf(`schedule: is empty; give at least one wait, like ["5m"]`)
	}
	for _, d := range c.Schedule {
		if d <= 0 {
			return fmt.Errorf("schedule: %s is not a positive duration", d)
		}
	}
	if c.Jitter < 0 || c.Jitter >= 1 {
		return fmt.Errorf("jitter: %g is not between 0 and 1", c.Jitter)
	}
	if c.Lifetime <= 0 {
		return fmt.Errorf("lifetime: %s is not a positive duration", c.Lifetime)
	}
	return nil
}

// HandbackConfig is the [handback] table: when a message goes back to the MTA's disk queue. Zero means never.
type HandbackConfig struct {
	Visits int           `toml:"visits"` // after so many failed visits
	After  time.Duration `toml:"after"`  // or when it has waited so long
}

// Validate returns what is wrong, naming the key.
func (c HandbackConfig) Validate() error {
	if c.Visits < 0 {
		return fmt.Errorf("visits: %d is negative; 0 means never", c.Visits)
	}
	if c.After < 0 {
		return fmt.Errorf("after: %s is negative; 0 means never", c.After)
	}
	return nil
}
