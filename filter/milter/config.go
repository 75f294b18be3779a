package milter

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/filter"
)

// Config is the [milter] table.
type Config struct {
	filter.Access `toml:",inline"`

	Listen         []string      `toml:"listen"`           // "inet:host:port", "inet6:[host]:port" or "unix:/path"
	IdleTimeout    time.Duration `toml:"idle_timeout"`     // a connection on which the MTA says nothing for so long is closed
	ReadTimeout    time.Duration `toml:"read_timeout"`     // for the rest of a frame that has begun, and for writing an answer
	StopGrace      time.Duration `toml:"stop_grace"`       // how long Stop keeps idle connections open, so that mail on them passes instead of meeting a closed one
	Drip           bool          `toml:"drip"`             // end some messages that are taken by deleting their recipients, so that Postfix's in_flow_delay does not slow it down
	MaxSessions    int           `toml:"max_sessions"`     // connections; mail from connections above it passes
	MaxRcpts       int           `toml:"max_rcpts"`        // a message with more recipients stays with the MTA
	MaxHeaderBytes int           `toml:"max_header_bytes"` // a message with a larger header stays with the MTA
	MaxBuffered    int64         `toml:"max_buffered"`     // bytes of messages not yet taken, all connections together
}

// DefaultConfig is the [milter] table of an empty file.
//
// An idle connection is one whose SMTP client is silent: Postfix gives up on such a client after 5 minutes, Sendmail
// after an hour. Closing earlier would look like a failure of ours.
func DefaultConfig() Config {
	return Config{
		Listen: []string{"inet:127.0.0.1:8895"}, Access: filter.DefaultAccess(),
		IdleTimeout: 65 * time.Minute, ReadTimeout: time.Minute, StopGrace: 5 * time.Second, Drip: true,
		MaxSessions: 1000, MaxRcpts: 10_000, MaxHeaderBytes: 1 << 20, MaxBuffered: 512 << 20,
	}
}

// Limits are what the intake of this door needs of the table.
func (c Config) Limits() filter.Limits {
	return filter.Limits{Rcpts: c.MaxRcpts, HeaderBytes: c.MaxHeaderBytes, Buffered: c.MaxBuffered}
}

// Validate returns what is wrong, naming the key and how to repair it.
func (c Config) Validate() error {
	for i, l := range c.Listen {
		network, address, err := filter.ParseListen(l)
		if err != nil {
			return fmt.Errorf("listen[%d]: %w", i, err)
		}
		if len(c.Allow) == 0 && filter.Open(network, address) {
			return fmt.Errorf(`listen[%d]: %q is open to other hosts, and whoever reaches it can send mail to anyone; `+
				`name the MTA's hosts, like allow = ["192.0.2.25/32"], or listen on 127.0.0.1 or a unix: socket`, i, l)
		}
	}
	if err := c.Access.Validate(); err != nil {
		return err
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"idle_timeout", c.IdleTimeout}, {"read_timeout", c.ReadTimeout}} {
		if d.value <= 0 {
			return fmt.Errorf(`%s: %s is not a positive duration; write it like "1m"`, d.key, d.value)
		}
	}
	if c.StopGrace < 0 {
		return fmt.Errorf("stop_grace: %s is negative; 0 closes idle connections at once", c.StopGrace)
	}
	for _, n := range []struct {
		key   string
		value int64
	}{{"max_sessions", int64(c.MaxSessions)}, {"max_rcpts", int64(c.MaxRcpts)}, {"max_header_bytes", int64(c.MaxHeaderBytes)}, {"max_buffered", c.MaxBuffered}} {
		if n.value < 1 {
			return fmt.Errorf("%s: %d is less than 1", n.key, n.value)
		}
	}
	return nil
}
