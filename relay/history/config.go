package history

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Config is the [history] table.
type Config struct {
	Keep     Period `toml:"keep"`      // how long a message can be traced; "off" keeps nothing
	MaxBytes int64  `toml:"max_bytes"` // of all files, indexes included; the oldest make room
}

// DefaultConfig is the [history] table of an empty file.
func DefaultConfig() Config { return Config{Keep: Period(7 * 24 * time.Hour), MaxBytes: 1 << 30} }

// Bounds of Config.
const (
	leastKeep  = Period(time.Hour)
	mostKeep   = Period(10 * 365 * 24 * time.Hour)
	leastBytes = 16 << 20
)

// Validate returns the first mistake. The error begins with its key.
func (c Config) Validate() error {
	switch {
	case c.Keep != 0 && (c.Keep < leastKeep || c.Keep > mostKeep):
		return fmt.Errorf(`keep: %q is not between "1h" and "3650d"; "off" keeps nothing`, c.Keep)
	case c.MaxBytes < leastBytes:
		return fmt.Errorf("max_bytes: %d is less than %d", c.MaxBytes, leastBytes)
	}
	return nil
}

// on reports whether anything is kept.
func (c Config) on() bool { return c.Keep > 0 }

// period is the longest time that a segment is written to: what is over is deleted so much late, at most.
func (c Config) period() time.Duration { return time.Duration(c.Keep) / 24 }

// segmentBytes is the size from which on a segment is closed.
func (c Config) segmentBytes() int64 {
	return min(max(c.MaxBytes/64, leastBytes/64), maxSegment-2*maxPayload)
}

// Period is a time in days or hours. The zero Period is "off".
type Period time.Duration

const day = 24 * time.Hour

var errPeriod = errors.New(`write it like "7d" or "36h", or "off"`)

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Period) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "off" {
		*p = 0
		return nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 3650 {
			return errPeriod
		}
		*p = Period(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errPeriod
	}
	*p = Period(d)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String writes p as UnmarshalText reads it.
func (p Period) String() string {
	d := time.Duration(p)
	switch {
	case d == 0:
		return "off"
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}
