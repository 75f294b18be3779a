package config

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestWarnings(t *testing.T) {
	addr := netip.MustParseAddr
	own := []netip.Addr{addr("198.51.100.7"), addr("2001:db8::7"), addr("fe80::7")}
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // the keys
	}{
		{"none", func(*Config) {}, nil},
		{"our addresses", func(c *Config) { c.SMTP.Local4, c.SMTP.Local6 = own[0], own[1] }, nil},
		{"our link-local address", func(c *Config) { c.SMTP.Local6 = addr("fe80::7%eth0") }, nil},
		{"loopback", func(c *Config) { c.SMTP.Local4 = addr("127.0.0.2") }, nil},
		{"foreign addresses", func(c *Config) { c.SMTP.Local4, c.SMTP.Local6 = addr("192.0.2.1"), addr("2001:db8::1") },
			[]string{"smtp.bind_address", "smtp.bind_address6"}},
		{"no room for the largest", func(c *Config) { c.Bulk.SizeLimit = c.Milter.MaxBuffered + 1 }, []string{"bulk.size_limit"}},
		{"tried once", func(c *Config) { c.Retry.Lifetime = time.Second }, []string{"retry.lifetime"}},
		{"handed back too late", func(c *Config) { c.Handback.After = c.Retry.Lifetime }, []string{"handback.after"}},
		{"impatient", func(c *Config) { c.SMTP.Timeouts.Dot = leastDot - time.Second }, []string{"smtp.data_done_timeout"}},
		{"patient", func(c *Config) { c.SMTP.Timeouts.Dot = leastDot }, nil},
	} {
		c := DefaultConfig()
		test.change(c)
		var keys []string
		for _, w := range c.Warnings(own) {
			keys = append(keys, w.Key)
		}
		if !slices.Equal(keys, test.want) {
			t.Errorf("%s: %q, want %q", test.name, keys, test.want)
		}
	}
}

// TestWire: the name in EHLO is the host's, unless [smtp] has another, and [pool] decides about TLS.
func TestWire(t *testing.T) {
	for _, test := range []struct{ text, helo, tls string }{
		{"hostname = 'mail.example.org'", "mail.example.org", "opportunistic"},
		{"hostname = 'mail.example.org'\nsmtp.helo_name = 'out.example.org'\npool.tls = 'none'", "out.example.org", "none"},
		{"hostname = 'mail.example.org'\nsmtp.helo_name = '[192.0.2.1]'", "[192.0.2.1]", "opportunistic"},
	} {
		c, err := loadText(test.text)
		if err != nil {
			t.Fatal(err)
		}
		wire := c.Wire()
		if wire.Hostname != test.helo || wire.TLS.String() != test.tls || wire.Timeouts != c.SMTP.Timeouts {
			t.Errorf("%q: %+v", test.text, wire)
		}
		if err := wire.Validate(); err != nil {
			t.Errorf("%q: %v", test.text, err)
		}
	}
}
