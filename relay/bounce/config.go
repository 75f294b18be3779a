package bounce

import (
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// Config is the [bounce] table.
type Config struct {
	Inject     string        `toml:"inject"`     // our MTA's address for mail from Millrace: "[host]:port", no MX lookup; or Direct
	Delay      time.Duration `toml:"delay"`      // how long the first failure waits for others of the same message
	From       string        `toml:"from"`       // author of notifications; without "@" our host name completes it
	Postmaster string        `toml:"postmaster"` // address for questions in their text; completed likewise
	MaxHeader  int           `toml:"max_header"` // most bytes of the message that go back to the sender
}

// Direct, in place of our MTA's address, says that there is no MTA: notifications go to the hosts that take mail for their receivers.
const Direct = "direct"

// IsDirect reports whether there is no MTA.
func (c Config) IsDirect() bool { return c.Inject == Direct }

// DefaultConfig is the [bounce] table of an empty file.
func DefaultConfig() Config {
	return Config{
		Inject: "[127.0.0.1]:25", Delay: 30 * time.Second,
		From: "MAILER-DAEMON", Postmaster: "postmaster", MaxHeader: 50 << 10,
	}
}

// Validate returns the first mistake. The error begins with its key.
func (c Config) Validate() error {
	if err := validateInject(c.Inject); err != nil && !c.IsDirect() {
		return fmt.Errorf("inject: %w", err)
	}
	for _, a := range []struct{ key, addr string }{{"from", c.From}, {"postmaster", c.Postmaster}} {
		parsed, err := mail.ParseAddress(complete(a.addr, "host.invalid"))
		if err != nil {
			return fmt.Errorf("%s: %q is not a mail address: %w", a.key, a.addr, err)
		}
		if parsed.Address != complete(a.addr, "host.invalid") { // we put a name and angle brackets around it ourselves
			return fmt.Errorf("%s: %q is more than an address; write %q", a.key, a.addr, parsed.Address)
		}
	}
	switch {
	case c.Delay <= 0:
		return fmt.Errorf("delay: %s is not a positive duration", c.Delay)
	case c.Delay > time.Hour:
		return fmt.Errorf("delay: %s is longer than an hour; senders wait for their bounces", c.Delay)
	case c.MaxHeader < 1<<10 || c.MaxHeader > 10<<20:
		return fmt.Errorf("max_header: %d is not between 1024 and 10485760", c.MaxHeader)
	}
	return nil
}

// validateInject checks a fixed next hop in Postfix's notation. The port must be there: an MTA beside Millrace often has
// a listener of its own for such mail, and a guess would find another.
func validateInject(hop string) error {
	host, port, err := net.SplitHostPort(hop)
	if err != nil {
		return fmt.Errorf(`%q is not a next hop like "[127.0.0.1]:25", and not "direct": %w`, hop, err)
	}
	if host == "" {
		return fmt.Errorf("%q names no host", hop)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no port between 1 and 65535", hop)
	}
	return nil
}

// complete gives an address without a domain that of this host.
func complete(addr, host string) string {
	if strings.Contains(addr, "@") {
		return addr
	}
	return addr + "@" + host
}
