package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/dns"
)

const searchZone = `
	two.test.        MX 20 mx2.test.
	two.test.        MX 10 mx1.test.
	mx1.test.        A 192.0.2.1
	mx1.test.        AAAA 2001:db8::1
	mx2.test.        A 192.0.2.2
	same.test.       MX 10 mx2.test.
	same.test.       MX 20 mx1.test.
	implicit.test.   A 192.0.2.9
	null.test.       MX 0 .
	empty.test.      TXT "nothing here"
	alias.test.      CNAME two.test.
	mxalias.test.    MX 10 www.test.
	www.test.        CNAME mx1.test.
	loop.test.       CNAME pool.test.
	pool.test.       CNAME loop.test.
	literal.test.    MX 10 192.0.2.77.
	under.test.      MX 10 _mx.under.test.
	_mx.under.test.  A 192.0.2.8
	local.test.      MX 10 localhost.
	loopback.test.   MX 10 lo.test.
	lo.test.         A 127.0.0.1
	lo.test.         AAAA ::1
	halfbad.test.    MX 10 half.test.
	half.test.       A 127.0.0.1
	half.test.       A 192.0.2.5
	private.test.    MX 10 rfc1918.test.
	rfc1918.test.    A 10.1.2.3
	deadmx.test.     MX 10 gone.test.
	deadmx.test.     MX 20 empty.test.
	badnames.test.   MX 10 a\032b.test.
	softmx.test.     MX 10 soft.test.
	softmx.test.     MX 20 gone.test.
	soft.test.       A 192.0.2.6
	mixed.test.      MX 10 soft.test.
	mixed.test.      MX 20 mx2.test.
	self.test.       MX 10 me.test.
	me.test.         A 192.0.2.250
	backup.test.     MX 10 mx1.test.
	backup.test.     MX 20 me.test.
	backup.test.     MX 20 mx2.test.
	byname.test.     MX 10 relay.example.
	selfsoft.test.   MX 10 soft.test.
	selfsoft.test.   MX 20 me.test.
	servfail.test.   MX 10 mx1.test.
	refused.test.    MX 10 mx1.test.
	timeout.test.    MX 10 mx1.test.
	next.test.       A 127.0.0.9
	localhost.       A 127.0.0.1
	nextmx.test.     MX 5 lo.test.
`

// testConfig is patient enough for a loaded machine and quick where it waits
// for nothing.
func testConfig(s *dns.Server) Config {
	return Config{
		Servers: []string{s.Addr()}, Hostname: "relay.example.", Parallel: 4,
		Own:   []netip.Addr{netip.MustParseAddr("192.0.2.250")},
		Quick: 500 * time.Millisecond, Timeout: 500 * time.Millisecond, MinTTL: time.Millisecond,
	}
}

// startResolver makes a running resolver that ends with the test.
func startResolver(t *testing.T, cfg Config, table map[string]string) *Resolver {
	t.Helper()
	parsed, err := ParseTable(table)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(cfg, parsed, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	r.Run(t.Context())
	t.Cleanup(r.Stop)
	return r
}

// await waits for a Route.
func await(t *testing.T, r *Resolver, domain string) *Route {
	t.Helper()
	got := make(chan *Route, 2)
	r.Await(domain, func(rt *Route) { got <- rt })
	select {
	case rt := <-got:
		return rt
	case <-time.After(30 * time.Second):
		t.Fatalf("no route for %s", domain)
		return nil
	}
}

// text writes a Route down in one line.
func text(rt *Route) string {
	if rt.Err != nil {
		if rt.Err.Permanent != (rt.Err.Code >= 500) || rt.Err.Enhanced[0] != byte('0'+rt.Err.Code/100) || rt.Site != "" {
			return fmt.Sprintf("inconsistent: %+v", rt.Err)
		}
		if rt.Err.Cause == Ourselves {
			return fmt.Sprintf("%d %s ourselves", rt.Err.Code, rt.Err.Enhanced)
		}
		return fmt.Sprintf("%d %s", rt.Err.Code, rt.Err.Enhanced)
	}
	out := []string{rt.Site}
	for _, h := range rt.Hosts {
		out = append(out, fmt.Sprint(h.Pref, " ", h.Name, " ", h.Addrs))
	}
	return strings.Join(out, "; ")
}

func TestSearch(t *testing.T) {
	s := dns.Start(t, searchZone)
	s.Fault("soft.test.", dns.Fault{Kind: dns.ServFail})
	s.Fault("servfail.test.", dns.Fault{Kind: dns.ServFail})
	s.Fault("refused.test.", dns.Fault{Kind: dns.HeaderOnly})
	s.Fault("timeout.test.", dns.Fault{Kind: dns.Timeout})
	const mx1, mx2 = "mx1.test [192.0.2.1 2001:db8::1]", "mx2.test [192.0.2.2]"
	tests := []struct{ domain, want string }{
		{"two.test", "mx1.test,mx2.test:25; 10 " + mx1 + "; 20 " + mx2},
		{"same.test", "mx1.test,mx2.test:25; 10 " + mx2 + "; 20 " + mx1},
		{"implicit.test", "implicit.test:25; 0 implicit.test [192.0.2.9]"},
		{"null.test", "556 5.1.10"},
		{"empty.test", "550 5.4.4"},
		{"alias.test", "mx1.test,mx2.test:25; 10 " + mx1 + "; 20 " + mx2},
		{"mxalias.test", "www.test:25; 10 www.test [192.0.2.1 2001:db8::1]"},
		{"loop.test", "451 4.4.3"},
		{"literal.test", "192.0.2.77:25; 10 192.0.2.77 [192.0.2.77]"},
		{"under.test", "_mx.under.test:25; 10 _mx.under.test [192.0.2.8]"},
		{"local.test", "451 4.4.6 ourselves"},
		{"loopback.test", "451 4.4.6 ourselves"},
		{"halfbad.test", "half.test:25; 10 half.test [192.0.2.5]"},
		{"private.test", "451 4.4.6 ourselves"},
		{"deadmx.test", "550 5.4.4"},
		{"badnames.test", "550 5.4.4"},
		{"softmx.test", "451 4.4.3"},
		{"mixed.test", "mx2.test,soft.test:25; 20 " + mx2},
		{"self.test", "451 4.4.6 ourselves"},
		{"me.test", "451 4.4.6 ourselves"},
		{"backup.test", "me.test,mx1.test,mx2.test:25; 10 " + mx1},
		{"byname.test", "451 4.4.6 ourselves"},
		{"selfsoft.test", "451 4.4.4 ourselves"},
		{"servfail.test", "451 4.4.3"},
		{"refused.test", "451 4.4.3"},
		{"timeout.test", "451 4.4.3"},
		{"[192.0.2.1]", "550 5.1.2"},
		{"not a domain", "550 5.1.2"},
		{"nowhere.test", "451 4.4.3"}, // the first denial
	}
	for _, tt := range tests {
		t.Run(tt.domain, func(t *testing.T) {
			rt := await(t, startResolver(t, testConfig(s), nil), tt.domain)
			if got := text(rt); got != tt.want || rt.Domain != tt.domain || rt.Static {
				t.Errorf("got  %s (%v)\nwant %s", got, rt.Err, tt.want)
			}
		})
	}
	if n := s.Count("null.test", "A") + s.Count("deadmx.test", "A"); n != 0 {
		t.Errorf("fell back to an address %d times", n)
	}
}

func TestSearchOptions(t *testing.T) {
	s := dns.Start(t, searchZone)
	tests := []struct {
		name   string
		change func(*Config)
		domain string
		want   string
	}{
		{"private networks", func(c *Config) { c.AllowPrivate = true }, "private.test", "rfc1918.test:25; 10 rfc1918.test [10.1.2.3]"},
		{"allowed loopback", func(c *Config) { c.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }, "loopback.test", "lo.test:25; 10 lo.test [127.0.0.1]"},
		{"prohibited network", func(c *Config) { c.Prohibited = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/29")} }, "same.test", "mx1.test,mx2.test:25; 20 mx1.test [2001:db8::1]"},
		{"only a prohibited network", func(c *Config) { c.Prohibited = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }, "implicit.test", "550 5.4.4"},
		{"no IPv6", func(c *Config) { c.IPv4Only = true }, "mxalias.test", "www.test:25; 10 www.test [192.0.2.1]"},
		{"self on another port", func(c *Config) { c.Port = 2525 }, "self.test", "me.test:2525; 10 me.test [192.0.2.250]"},
		{"literals", func(c *Config) { c.Literals = true }, "[192.0.2.1]", "[192.0.2.1]; 0 [192.0.2.1] [192.0.2.1]"},
		{"prohibited literal", func(c *Config) { c.Literals = true }, "[127.0.0.1]", "451 4.4.6 ourselves"},
		{"own literal", func(c *Config) { c.Literals = true }, "[192.0.2.250]", "451 4.4.6 ourselves"},
		{"mapped literal", func(c *Config) { c.Literals = true }, "[ipv6:::ffff:127.0.0.1]", "451 4.4.6 ourselves"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(s)
			tt.change(&cfg)
			if got := text(await(t, startResolver(t, cfg, nil), tt.domain)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSearchStatic(t *testing.T) {
	s := dns.Start(t, searchZone)
	table := map[string]string{
		"literal.example": "[127.0.0.1]:2525",
		"six.example":     "[IPv6:::1]",
		"host.example":    "[next.test]:26",
		"mx.example":      "nextmx.test",
		"a.example":       "next.test:27",
		"self.example":    "[me.test]",
		"typo.example":    "[nowhere.test]",
		"null.example":    "null.test",
		".below.test":     "[192.0.2.44]",
		"lh.example":      "[localhost]:2525",
		"dot.example.":    "[next.test.]:28",
		".deep.example.":  "nextmx.test.",
	}
	tests := []struct{ domain, want string }{
		{"literal.example", "[127.0.0.1]:2525; 0 127.0.0.1 [127.0.0.1]"},
		{"six.example", "[::1]:25; 0 ::1 [::1]"},
		{"host.example", "[next.test]:26; 0 next.test [127.0.0.9]"},
		{"mx.example", "nextmx.test:25; 5 lo.test [127.0.0.1 ::1]"},
		{"a.example", "next.test:27; 0 next.test [127.0.0.9]"},
		{"self.example", "[me.test]:25; 0 me.test [192.0.2.250]"},
		{"lh.example", "[localhost]:2525; 0 localhost [127.0.0.1]"},
		{"dot.example", "[next.test]:28; 0 next.test [127.0.0.9]"},
		{"a.deep.example", "nextmx.test:25; 5 lo.test [127.0.0.1 ::1]"},
		{"typo.example", "451 4.4.3"},
		{"null.example", "451 4.4.3"},
		{"x.below.test", "[192.0.2.44]:25; 0 192.0.2.44 [192.0.2.44]"},
	}
	r := startResolver(t, testConfig(s), table)
	for _, tt := range tests {
		t.Run(tt.domain, func(t *testing.T) {
			rt := await(t, r, tt.domain)
			if got := text(rt); got != tt.want || !rt.Static {
				t.Errorf("got  %s (static %v)\nwant %s", got, rt.Static, tt.want)
			}
		})
	}
	if rt := r.Lookup("literal.example"); rt == nil {
		t.Error("an address needs no lookup")
	}
}

// TestDenialsAreConfirmed holds that a domain is given up after its second
// denial, and that a domain which is there again is found.
func TestDenialsAreConfirmed(t *testing.T) {
	s := dns.Start(t, searchZone)
	r := startResolver(t, testConfig(s), nil)
	if rt := await(t, r, "nowhere.test"); rt.Err.Permanent {
		t.Fatalf("after one denial: %v", rt.Err)
	}
	for await(t, r, "nowhere.test"); s.Count("nowhere.test", "MX") < 2; {
		await(t, r, "nowhere.test")
	}
	if rt := await(t, r, "nowhere.test"); text(rt) != "550 5.1.2" {
		t.Errorf("after two: %v", rt.Err)
	}
}

func TestMemoSharesHosts(t *testing.T) {
	var zone strings.Builder
	zone.WriteString("mx.shared.test. A 192.0.2.1\n")
	for i := range 50 {
		fmt.Fprintf(&zone, "d%d.test. MX 10 mx.shared.test.\n", i)
	}
	s := dns.Start(t, zone.String())
	cfg := testConfig(s)
	cfg.MinTTL = time.Minute
	r := startResolver(t, cfg, nil)
	await(t, r, "d0.test")
	for i := range 50 {
		if rt := await(t, r, fmt.Sprintf("d%d.test", i)); rt.Site != "mx.shared.test:25" {
			t.Errorf("got %s", text(rt))
		}
	}
	if n := s.Count("mx.shared.test", ""); n != 2 {
		t.Errorf("asked %d times for the shared host", n)
	}
}

// TestIncompleteRoutesLiveShorter: the missing host may be the best one.
func TestIncompleteRoutesLiveShorter(t *testing.T) {
	s := dns.Start(t, `
		whole.test. 7200 MX 10 fine.test.
		lame.test. 7200 MX 10 nov6.test.
		half.test. 7200 MX 10 gone.test.
		half.test. 7200 MX 20 fine.test.
		*.test.    7200 A 192.0.2.1
		fine.test. 7200 A 192.0.2.1
		fine.test. 7200 AAAA 2001:db8::1
		nov6.test. 7200 A 192.0.2.1
	`)
	s.Fault("nov6.test.", dns.Fault{Kind: dns.ServFail, Type: "AAAA"})
	s.Fault("gone.test.", dns.Fault{Kind: dns.ServFail})
	r := startResolver(t, testConfig(s), nil)
	for domain, most := range map[string]time.Duration{
		"whole.test": time.Hour, "lame.test": maxBackoff, "half.test": time.Millisecond,
	} {
		rt := await(t, r, domain)
		if rt.Err != nil || time.Until(rt.Expires) > most || time.Until(rt.Expires) < most-time.Minute {
			t.Errorf("%s: %s for %v, want %v", domain, text(rt), time.Until(rt.Expires), most)
		}
	}
}

// TestMemoKeepsHostsThroughFailures: the MX records are there, the addresses
// of the hosts are not.
func TestMemoKeepsHostsThroughFailures(t *testing.T) {
	s := dns.Start(t, `
		one.test.  MX 10 mx.test.
		two.test.  MX 10 mx.test.
		mx.test. 1 A 192.0.2.1
		mx.test. 1 AAAA 2001:db8::1
	`)
	r := startResolver(t, testConfig(s), nil)
	await(t, r, "one.test")
	s.Fault("mx.test.", dns.Fault{Kind: dns.ServFail})
	time.Sleep(1100 * time.Millisecond)
	if rt := await(t, r, "two.test"); rt.Err != nil || s.Count("mx.test", "A") < 2 {
		t.Errorf("%s, asked %d times", text(rt), s.Count("mx.test", "A"))
	}
}

func TestErrorText(t *testing.T) {
	err := permanent(556, "5.1.10", "domain accepts no mail")
	if got := err.Error(); got != "556 5.1.10 domain accepts no mail" {
		t.Error(got)
	}
}

func TestBigAnswers(t *testing.T) {
	var zone strings.Builder
	for i := range 500 {
		fmt.Fprintf(&zone, "big.test. MX %d mx%d.big.test.\nmx%d.big.test. A 192.0.2.%d\n", i, i, i, i%250)
		fmt.Fprintf(&zone, "fat.test. A 198.51.%d.%d\n", i/250, i%250)
	}
	s := dns.Start(t, zone.String())
	r := startResolver(t, testConfig(s), nil)
	rt := await(t, r, "big.test")
	if rt.Err != nil || len(rt.Hosts) != MaxHosts || rt.Hosts[9].Name != "mx9.big.test" {
		t.Errorf("500 MX records: %s", text(rt))
	}
	if all, tcp := s.Total(); tcp != 1 || all > 2+2*MaxHosts {
		t.Errorf("%d queries, %d over TCP", all, tcp)
	}
	if rt := await(t, r, "fat.test"); rt.Err != nil || len(rt.Hosts[0].Addrs) != MaxAddrs {
		t.Errorf("500 addresses: %s", text(rt))
	}
}
