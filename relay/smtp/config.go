package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
// for a byte. A zero field stands for the default, which is Postfix's value.
type Timeouts struct {
	Connect  time.Duration `toml:"connect"`  // TCP handshake: 30s
	Banner   time.Duration `toml:"banner"`   // 5m
	EHLO     time.Duration `toml:"ehlo"`     // EHLO and HELO: 5m
	STARTTLS time.Duration `toml:"starttls"` // its reply, and then the TLS handshake: 5m each
	Mail     time.Duration `toml:"mail"`     // 5m
	Rcpt     time.Duration `toml:"rcpt"`     // for each recipient's reply: 5m
	Data     time.Duration `toml:"data"`     // reply to DATA: 2m
	Block    time.Duration `toml:"block"`    // writing 64 KB of the body: 3m
	Dot      time.Duration `toml:"dot"`      // reply to the end of data: 10m; shorter means duplicates (RFC 1047)
	Reset    time.Duration `toml:"reset"`    // 20s

	// MinRate is the slowest transaction that is borne, in bytes a second: up to
	// the end of data it may take Mail + Rcpt + Data + Block and one second more
	// for each MinRate bytes. The wait for the last reply is not counted, since
	// cutting it short would send a message twice. Default 500.
	MinRate int64 `toml:"min_rate"`
}

// withDefaults returns t with its zero fields filled in.
func (t Timeouts) withDefaults() Timeouts {
	for _, f := range [...]struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, 30 * time.Second},
		{&t.Banner, 300 * time.Second},
		{&t.EHLO, 300 * time.Second},
		{&t.STARTTLS, 300 * time.Second},
		{&t.Mail, 300 * time.Second},
		{&t.Rcpt, 300 * time.Second},
		{&t.Data, 120 * time.Second},
		{&t.Block, 180 * time.Second},
		{&t.Dot, 600 * time.Second},
		{&t.Reset, 20 * time.Second},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if t.MinRate == 0 {
		t.MinRate = 500
	}
	return t
}

// Validate reports the first field that cannot be used.
func (t Timeouts) Validate() error {
	for _, f := range [...]struct {
		name  string
		value time.Duration
	}{
		{"connect", t.Connect}, {"banner", t.Banner}, {"ehlo", t.EHLO}, {"starttls", t.STARTTLS},
		{"mail", t.Mail}, {"rcpt", t.Rcpt}, {"data", t.Data}, {"block", t.Block}, {"dot", t.Dot}, {"reset", t.Reset},
	} {
		if f.value < 0 {
			return fmt.Errorf("timeout %s is negative", f.name)
		}
	}
	if t.MinRate < 0 {
		return errors.New("min_rate is negative")
	}
	return nil
}

// transaction is how long one may take up to its end of data.
func (t Timeouts) transaction(bytes int64) time.Duration {
	return t.Mail + t.Rcpt + t.Data + t.Block + time.Duration(bytes/t.MinRate)*time.Second
}

// Config is what all connections made with it have in common. It must not be
// changed while it is in use.
type Config struct {
	Hostname  string     `toml:"hostname"`      // our name in EHLO; should be the PTR name of the source address
	LocalAddr netip.Addr `toml:"local_address"` // source address; zero lets the system choose
	TLS       TLSMode    `toml:"tls"`
	Timeouts  Timeouts   `toml:"timeouts"`

	// TLSConfig is the base of every TLS handshake, nil for none. A session cache
	// belongs here. Server name, and in opportunistic mode what makes the
	// handshake lenient, are filled in.
	TLSConfig *tls.Config `toml:"-"`

	// Dial opens the TCP connection; nil for the net package's. It is expected to
	// honour ctx, which ends after Timeouts.Connect.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) `toml:"-"`
}

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	if c.Hostname == "" || len(c.Hostname) > maxParam || !isParam(c.Hostname, false) {
		return fmt.Errorf("hostname %q cannot be sent in EHLO", c.Hostname)
	}
	return c.Timeouts.Validate()
}
