package demo

import (
	"fmt"
	"io"
	"time"
)

// Options says how large the campaign is and where the output goes.
type Options struct {
	Messages int           // of the campaign, one recipient each
	Size     int           // bytes of a message
	Domains  int           // receiving domains; the first six differ in character, the others are fast
	Personal float64       // share of the body that differs from message to message, 0 to 1
	Wait     time.Duration // longest wait for deliveries after the last message was taken
	NoMTA    bool          // an application hands the messages in itself, and there is no MTA
	JSON     bool          // print one JSON object instead of the table

	Out      io.Writer // gets the result
	Progress io.Writer // gets the daemon's errors and, if it is a terminal, the live line
}

// DefaultOptions end within a minute on a small machine. The output goes nowhere.
func DefaultOptions() Options {
	return Options{
		Messages: 20_000, Size: 20_000, Domains: 12, Wait: 2 * time.Minute,
		Out: io.Discard, Progress: io.Discard,
	}
}

// who brings the messages.
func (o *Options) who() string {
	if o.NoMTA {
		return "application"
	}
	return "stand-in MTA"
}

// Validate returns the first option out of range, under the name of its flag. The upper bounds keep a mistyped number from
// filling the memory before the first message is sent.
func (o *Options) Validate() error {
	switch {
	case o.Messages < 1 || o.Messages > 10_000_000:
		return fmt.Errorf("--messages %d: give 1 to 10000000", o.Messages)
	case o.Size < 1 || o.Size > 10<<20:
		return fmt.Errorf("--size %d: give 1 to 10485760 bytes", o.Size)
	case o.Domains < 1 || o.Domains > 1000:
		return fmt.Errorf("--domains %d: give 1 to 1000", o.Domains)
	case o.Personal < 0 || o.Personal > 1:
		return fmt.Errorf("--personal %g: give a share between 0 and 1", o.Personal)
	}
	return nil
}
