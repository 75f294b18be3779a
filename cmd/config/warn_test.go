package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay/pool"
)

// tenants are tenants of these senders.
func tenants(senders ...string) (list []filter.TenantConfig) {
	for i, sender := range senders {
		t := filter.TenantConfig{Sender: sender}
		t.Name = fmt.Sprint("t", i)
		list = append(list, t)
	}
	return list
}

// sites are rules for these hosts.
func sites(mx ...string) (list []pool.Rule) {
	for _, suffix := range mx {
		list = append(list, pool.Rule{MX: []string{suffix}, Connections: 5})
	}
	return list
}

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
		{"tenants", func(c *Config) { c.Tenant = tenants("*@a.example", "*@b.example", "*") }, nil},
		{"a tenant behind everybody", func(c *Config) { c.Tenant = tenants("*@a.example", "*", "*@b.example") }, []string{"tenant[2].name"}},
		{"a tenant behind its equal", func(c *Config) { c.Tenant = tenants("*@a.example", "A.example") }, []string{"tenant[1].name"}},
		{"sites apart", func(c *Config) { c.Site = sites("a.example", "b.example") }, nil},
		{"a site that never decides", func(c *Config) { c.Site = sites("a.example", "a.example") }, []string{"site[1].mx[0]"}},
		{"a site within another", func(c *Config) { c.Site = sites("a.example", "example") }, []string{"site[0].mx[0]"}},
		{"patient", func(c *Config) { c.SMTP.Timeouts.Dot = leastDot }, nil},
		{"sources", func(c *Config) {
			c.Source = []pool.SourceConfig{{Name: "a", Address: own[0], Helo: "a.example.org"}, {Name: "b", Address: addr("127.0.0.2")}}
		}, nil},
		{"sources beside an address of [smtp]", func(c *Config) {
			c.Source = []pool.SourceConfig{{Name: "a", Address: own[0]}}
			c.SMTP.Local4 = own[0]
		}, []string{"smtp.bind_address"}},
		{"sources that greet with one name", func(c *Config) {
			c.Source = []pool.SourceConfig{{Name: "a", Address: own[0]}, {Name: "b", Address6: own[1], Helo: "b.example.org"}, {Name: "c", Address: addr("127.0.0.2")}}
		}, []string{"source[2].helo_name"}},
		{"sources that are all reserved", func(c *Config) {
			c.Source = []pool.SourceConfig{{Name: "a", Address: own[0], Reserved: true}}
		}, []string{"source"}},
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

// TestCheckNamesATenantWithoutMail: the warning has the lines of both tables.
func TestCheckNamesATenantWithoutMail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	text := "hostname = 'mail.example.org'\n[[tenant]]\nname = 'all'\nsender = '*'\n[[tenant]]\nname = 'acme'\nsasl_user = 'acme'\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	warnings, err := Check(path)
	if err != nil || len(warnings) != 1 || warnings[0].Line != 6 || !strings.HasSuffix(warnings[0].Text, "move it up (the other is in line 3)") {
		t.Errorf("%v %v", warnings, err)
	}
}
