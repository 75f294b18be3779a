package daemon

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/pool"
)

// TestSendingAddrs: which addresses receivers see, and by which names.
func TestSendingAddrs(t *testing.T) {
	addrs := func(texts ...string) (list []netip.Addr) {
		for _, s := range texts {
			list = append(list, netip.MustParseAddr(s))
		}
		return list
	}
	for _, c := range []struct {
		name   string
		own    []netip.Addr
		change func(*config.Config)
		want   string
	}{
		{"one of each family", addrs("192.0.2.1", "2001:db8::1", "fe80::1", "10.0.0.1"), func(*config.Config) {}, "192.0.2.1 mail.example.org; 2001:db8::1 mail.example.org; "},
		{"several", addrs("192.0.2.1", "192.0.2.2"), func(*config.Config) {}, ""},
		{"private", addrs("10.0.0.1", "fd00::1"), func(*config.Config) {}, ""},
		{"one is bound", addrs("192.0.2.1", "192.0.2.2"), func(c *config.Config) {
			c.SMTP.Local4, c.SMTP.Hostname = addrs("192.0.2.2")[0], "out.example.org"
		}, "192.0.2.2 out.example.org; "},
		{"sources", addrs("192.0.2.1"), func(c *config.Config) {
			c.Source = []pool.SourceConfig{
				{Name: "a", Address: addrs("192.0.2.5")[0], Helo: "a.example.org"},
				{Name: "b", Address: addrs("192.168.0.1")[0], Address6: addrs("2001:db8::5")[0]},
			}
		}, "192.0.2.5 a.example.org; 2001:db8::5 mail.example.org; "},
	} {
		cfg := config.DefaultConfig()
		cfg.Hostname = "mail.example.org"
		c.change(cfg)
		got := ""
		for _, s := range sendingAddrs(cfg, func() ([]netip.Addr, error) { return c.own, nil }) {
			got += fmt.Sprintf("%s %s; ", s.Addr, s.Helo)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
