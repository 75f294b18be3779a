package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter/preflight"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/test/dns"
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

// TestMachineIsExamined: the daemon asks DNS for the name of its address, counts the fault with a campaign, and asks again behind a reload.
func TestMachineIsExamined(t *testing.T) {
	names := dns.Start(t, "10.2.0.192.in-addr.arpa. PTR other.example.org.\nother.example.org. A 192.0.2.10\n")
	cfg, _ := configured(t, t.TempDir(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, "[dns]\nservers = ['"+names.Addr()+"']\n[pool]\ntls = 'none'\n")
	d, err := NewOn(Machine{Addrs: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.10")}, nil }}, cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var codes []string
	d.preflight = d.newPreflight(cfg, func(_ relay.FlowName, f preflight.Fault) {
		mu.Lock()
		defer mu.Unlock()
		codes = append(codes, f.Code)
	})
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	has := func(code string) bool {
		d.preflight.Examine(relay.FlowName{Name: time.Now().String()}, preflight.Letter{Time: time.Now()})
		mu.Lock()
		defer mu.Unlock()
		return slices.Contains(codes, code)
	}
	until := func(code string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !has(code); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %s: %q", code, codes)
			}
		}
	}
	until("ptr-not-helo")
	if !has("tls-off") || has("ptr-not-back") {
		t.Errorf("%q", codes)
	}
	if err := names.Replace("other.example.org", "other.example.org. A 192.0.2.11\n"); err != nil {
		t.Fatal(err)
	}
	next := *d.Config()
	if err := d.Reload(&next); err != nil {
		t.Fatal(err)
	}
	until("ptr-not-back")
}
