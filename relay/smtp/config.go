package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// TLSMode says when a connection is encrypted.
type TLSMode int

const (
	// TLSOpportunistic encrypts when the peer offers it, without asking who the
	// peer is, and sends in clear when it does not work (RFC 7435).
	TLSOpportunistic TLSMode = iota
	// TLSNone never encrypts.
	TLSNone
)

// String returns the mode's name in the configuration.
func (m TLSMode) String() string {
	if m == TLSNone {
		return "none"
	}
	return "opportunistic"
}

// UnmarshalText reads a mode's name.
func (m *TLSMode) UnmarshalText(b []byte) error {
	switch string(b) {
	case "opportunistic":
		*m = TLSOpportunistic
	case "none":
		*m = TLSNone
	default:
		return fmt.Errorf("unknown TLS mode %q (want opportunistic or none)", b)
	}
	return nil
}

// MarshalText writes a mode's name.
func (m TLSMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// Timeouts bounds every wait. Each is for a whole reply or a whole block, not
// for a byte. A zero field stands for the default, which is Postfix's value. The
// comments name the least that RFC 5321 section 4.5.3.2 asks a client to wait.
type Timeouts struct {
	Connect  time.Duration `toml:"connect_timeout"`   // TCP handshake; 30s
	Banner   time.Duration `toml:"banner_timeout"`    // 5m; section 4.5.3.2.1 asks for 5m
	EHLO     time.Duration `toml:"helo_timeout"`      // reply to EHLO or HELO; 5m
	STARTTLS time.Duration `toml:"starttls_timeout"`  // its reply, and then the TLS handshake; 5m each
	Mail     time.Duration `toml:"mail_timeout"`      // reply to MAIL; 5m, section 4.5.3.2.2: 5m
	Rcpt     time.Duration `toml:"rcpt_timeout"`      // reply to each RCPT; 5m, section 4.5.3.2.3: 5m
	Data     time.Duration `toml:"data_init_timeout"` // reply to DATA; 2m, section 4.5.3.2.4: 2m
	Block    time.Duration `toml:"data_xfer_timeout"` // writing 64 KB of the body; 3m, section 4.5.3.2.5: 3m
	Dot      time.Duration `toml:"data_done_timeout"` // reply to the end of data; 10m, section 4.5.3.2.6: 10m. Less means duplicates (RFC 1047)
	Reset    time.Duration `toml:"rset_timeout"`      // reply to RSET; 20s

	// MinRate is the slowest transaction that is borne, in bytes a second: up to
	// the end of data it may take Mail + Rcpt + Data + Block and one second more
	// for each MinRate bytes. The wait for the last reply is not counted, since
	// cutting it short would send a message twice. Default 500.
	MinRate int64 `toml:"min_rate"`
}

// DefaultTimeouts are the values that zero fields stand for.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Connect: 30 * time.Second, Banner: 5 * time.Minute, EHLO: 5 * time.Minute, STARTTLS: 5 * time.Minute,
		Mail: 5 * time.Minute, Rcpt: 5 * time.Minute,
		Data: 2 * time.Minute, Block: 3 * time.Minute, Dot: 10 * time.Minute,
		Reset: 20 * time.Second, MinRate: 500,
	}
}

// timeout is one field of Timeouts.
type timeout struct {
	key   string
	value *time.Duration
}

// fields lists the durations of t, each under its key in the configuration.
func (t *Timeouts) fields() []timeout {
	return []timeout{
		{"connect_timeout", &t.Connect}, {"banner_timeout", &t.Banner}, {"helo_timeout", &t.EHLO},
		{"starttls_timeout", &t.STARTTLS}, {"mail_timeout", &t.Mail}, {"rcpt_timeout", &t.Rcpt},
		{"data_init_timeout", &t.Data}, {"data_xfer_timeout", &t.Block}, {"data_done_timeout", &t.Dot},
		{"rset_timeout", &t.Reset},
	}
}

// withDefaults returns t with its zero fields filled in.
func (t Timeouts) withDefaults() Timeouts {
	standard := DefaultTimeouts()
	values := standard.fields()
	for i, f := range t.fields() {
		if *f.value == 0 {
			*f.value = *values[i].value
		}
	}
	if t.MinRate == 0 {
		t.MinRate = standard.MinRate
	}
	return t
}

// Validate reports every field that is not positive, each under its key. It is
// for a complete table: the author of a zero in a file may mean "at once" or "for
// ever", and here it means neither.
func (t Timeouts) Validate() error {
	var errs []error
	for _, f := range t.fields() {
		if *f.value <= 0 {
			errs = append(errs, fmt.Errorf("%s: %s is not a positive duration", f.key, *f.value))
		}
	}
	if t.MinRate < 1 {
		errs = append(errs, fmt.Errorf("min_rate: %d is less than 1", t.MinRate))
	}
	return errors.Join(errs...)
}

// transaction is how long one may take up to its end of data.
func (t Timeouts) transaction(bytes int64) time.Duration {
	return t.Mail + t.Rcpt + t.Data + t.Block + time.Duration(bytes/t.MinRate)*time.Second
}

// Config holds the settings that all connections made with it have in common. It
// must not be changed while it is in use: connections read it without a lock. Its
// keys, and the keys of its Timeouts, are the [smtp] table of the configuration;
// they have Postfix's names without "smtp_".
type Config struct {
	// Hostname is our name in EHLO. It should be the PTR name of the source
	// address: receivers distrust a name that does not lead back to it.
	Hostname string `toml:"helo_name"`

	// Local4 and Local6 are the source addresses of connections over IPv4 and
	// IPv6. A zero one lets the system choose for its family.
	Local4 netip.Addr `toml:"bind_address"`
	Local6 netip.Addr `toml:"bind_address6"`

	TLS      TLSMode  `toml:"-"` // key tls of [pool], which also remembers where TLS does not work
	Timeouts Timeouts `toml:",inline"`

	// TLSConfig is the base of every TLS handshake, nil for none. A session cache
	// belongs here. The handshake fills in the server name, and in opportunistic
	// mode the settings that make it lenient.
	TLSConfig *tls.Config `toml:"-"`

	// NoLookAhead keeps the next envelope back until the reply to a body has come. It is for hosts that lose what
	// stands behind the end of a body: Conn.AheadLost tells which.
	NoLookAhead bool `toml:"-"`

	// Dial opens the TCP connection; nil for the DialContext method of d. It must
	// honour ctx, which ends after Timeouts.Connect. The source address stands in d.
	Dial func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) `toml:"-"`
}

// DefaultConfig is the [smtp] table of an empty file. The name in EHLO is left
// empty, for the host's name.
func DefaultConfig() Config { return Config{Timeouts: DefaultTimeouts()} }

// Validate reports every mistake in c, each under its key. A zero field of
// Timeouts is right: it stands for the default.
func (c *Config) Validate() error {
	return errors.Join(c.validateName(), c.validateLocal(), c.Timeouts.withDefaults().Validate())
}

func (c *Config) validateName() error {
	if c.Hostname == "" || len(c.Hostname) > maxParam || !isParam(c.Hostname, false) {
		return fmt.Errorf("helo_name: %q cannot be sent in EHLO", c.Hostname)
	}
	if strings.HasPrefix(c.Hostname, "[") && !isLiteral(c.Hostname) {
		return fmt.Errorf(`helo_name: %q is no address literal; write it like "[192.0.2.1]" or "[IPv6:2001:db8::1]"`, c.Hostname)
	}
	return nil
}

// isLiteral reports whether s is an address as it stands in EHLO (RFC 5321, 4.1.3).
func isLiteral(s string) bool {
	inner, closed := strings.CutSuffix(strings.TrimPrefix(s, "["), "]")
	six, tagged := strings.CutPrefix(inner, "IPv6:")
	a, err := netip.ParseAddr(six)
	return closed && err == nil && a.Zone() == "" && a.Is6() == tagged
}

// validateLocal wants each source address in its family. A packet must be able to
// come from it.
func (c *Config) validateLocal() error {
	var errs []error
	if a := c.Local4; a.IsValid() && !a.Is4() {
		errs = append(errs, fmt.Errorf("bind_address: %s is no IPv4 address; write it as bind_address6", a))
	}
	if a := c.Local6; a.IsValid() && (!a.Is6() || a.Is4In6()) {
		errs = append(errs, fmt.Errorf("bind_address6: %s is no IPv6 address; write it as bind_address", a))
	}
	for _, f := range []struct {
		key  string
		addr netip.Addr
	}{{"bind_address", c.Local4}, {"bind_address6", c.Local6}} {
		if a := f.addr; a.IsUnspecified() || a.IsMulticast() {
			errs = append(errs, fmt.Errorf("%s: nothing can be sent from %s; leave the key out to let the system choose", f.key, a))
		}
	}
	return errors.Join(errs...)
}

// localFor is the source address of a connection to that address, nil to let the
// system choose. An address of the other family would make every dial fail.
func (c *Config) localFor(to netip.Addr) net.Addr {
	local := c.Local6
	if to.Unmap().Is4() {
		local = c.Local4
	}
	if !local.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
}
