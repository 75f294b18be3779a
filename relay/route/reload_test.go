package route

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/dns"
)

// TestReload: what a domain's route depends on changes while the resolver runs. The route that was known leads on until the
// new one is there; an answer that says no is not given again.
func TestReload(t *testing.T) {
	const zone = "a.test. MX 10 mx.a.test.\nmx.a.test. A 192.0.2.1\nb.test. MX 10 mx.b.test.\nmx.b.test. A 10.1.2.3\nstatic.test. MX 10 mx.a.test.\n"
	const before = "mx.a.test:25; 10 mx.a.test [192.0.2.1]"
	for _, test := range []struct {
		name   string
		domain string
		old    string
		change func(*Config, map[string]string)
		want   string
	}{
		{"a port", "a.test", before, func(c *Config, _ map[string]string) { c.Port = 2525 }, "mx.a.test:2525; 10 mx.a.test [192.0.2.1]"},
		{"an address of our own", "a.test", before, func(c *Config, _ map[string]string) { c.Own = []netip.Addr{netip.MustParseAddr("192.0.2.1")} }, "451 4.4.6 ourselves"},
		{"a prohibited network", "a.test", before, func(c *Config, _ map[string]string) {
			c.Prohibited = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}, "550 5.4.4"},
		{"private networks", "b.test", "451 4.4.6 ourselves", func(c *Config, _ map[string]string) { c.AllowPrivate = true }, "mx.b.test:25; 10 mx.b.test [10.1.2.3]"},
		{"a static address", "a.test", before, func(_ *Config, r map[string]string) { r["a.test"] = "[192.0.2.8]:26" }, "[192.0.2.8]:26; 0 192.0.2.8 [192.0.2.8]"},
		{"a static host", "a.test", before, func(_ *Config, r map[string]string) { r["*"] = "[mx.b.test]" }, "[mx.b.test]:25; 0 mx.b.test [10.1.2.3]"},
		{"a static address less", "static.test", "[192.0.2.9]:25; 0 192.0.2.9 [192.0.2.9]", func(_ *Config, r map[string]string) { delete(r, "static.test") }, "mx.a.test:25; 10 mx.a.test [192.0.2.1]"},
		{"literals", "[192.0.2.7]", "550 5.1.2", func(c *Config, _ map[string]string) { c.Literals = true }, "[192.0.2.7]; 0 [192.0.2.7] [192.0.2.7]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := dns.Start(t, zone)
			cfg, table := testConfig(s), map[string]string{"static.test": "[192.0.2.9]"}
			cfg.MinTTL = time.Hour
			r := startResolver(t, cfg, table)
			if got := text(await(t, r, test.domain)); got != test.old {
				t.Fatalf("before: %s, want %s", got, test.old)
			}
			test.change(&cfg, table)
			parsed, err := ParseTable(table)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Reload(cfg, parsed); err != nil {
				t.Fatal(err)
			}
			got := ""
			for end := time.Now().Add(10 * time.Second); got != test.want && time.Now().Before(end); time.Sleep(time.Millisecond) {
				got = text(await(t, r, test.domain))
			}
			if got != test.want {
				t.Errorf("after: %s, want %s", got, test.want)
			}
		})
	}
}

// TestReloadAsksOtherServers: an admin whose name servers give wrong answers names others.
func TestReloadAsksOtherServers(t *testing.T) {
	bad, good := dns.Start(t, "x.test. TXT none\n"), dns.Start(t, "a.test. MX 10 mx.a.test.\nmx.a.test. A 192.0.2.1\n")
	cfg := testConfig(bad)
	cfg.MinTTL = time.Hour
	r := startResolver(t, cfg, nil)
	if rt := await(t, r, "a.test"); rt.Err == nil {
		t.Fatalf("before: %+v", rt)
	}
	cfg.Servers = []string{good.Addr()}
	if err := r.Reload(cfg, Table{}); err != nil {
		t.Fatal(err)
	}
	if rt := await(t, r, "a.test"); rt.Err != nil {
		t.Errorf("after: %v", rt.Err)
	}
	if cfg.Servers = []string{"no address"}; r.Reload(cfg, Table{}) == nil {
		t.Error("took over a server that is none")
	}
}

// TestReloadBounds: the limits become smaller while many names are being looked up, and every name is found.
func TestReloadBounds(t *testing.T) {
	bubble(t, Config{Parallel: 64}, func(t *testing.T, w *world, r *Resolver) {
		const n = 200
		found := make(chan *Route, n)
		for i := range n {
			name := fmt.Sprintf("d%d.test", i)
			w.set(name, "mx.test", time.Hour)
			r.Await(name, func(rt *Route) { found <- rt })
		}
		pass(time.Millisecond)
		if err := r.Reload(Config{Parallel: 4, Entries: 10, Waiting: 1000}, Table{}); err != nil {
			t.Fatal(err)
		}
		for range n {
			if rt := <-found; rt.Err != nil {
				t.Fatal(rt.Err)
			}
		}
		if s := r.Status(); s.Entries != 10 {
			t.Errorf("%d entries", s.Entries)
		}
	})
}

// TestReloadKeepsWhatThisHostSays: addresses that cannot be read at a reload stay as they were.
func TestReloadKeepsWhatThisHostSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, f := newWorld(), new(floating)
		w.set("a.test", "mx.test", 24*time.Hour)
		f.set(nil, "192.0.2.1")
		cfg := Config{Local: f.local}
		r := assemble(cfg.withDefaults(), Table{}, hclog.NewNullLogger(), w)
		if err := r.around.look(); err != nil {
			t.Fatal(err)
		}
		r.Run(t.Context())
		defer r.Stop()
		f.set(fmt.Errorf("no netlink"))
		if r.Reload(cfg, Table{}) == nil {
			t.Error("no error")
		}
		r.Want("a.test")
		pass(time.Second)
		if rt := r.Lookup("a.test"); rt == nil || rt.Err == nil || rt.Err.Cause != Ourselves {
			t.Errorf("%+v", rt)
		}
	})
}
