package route

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/dns"
)

// TestErrorsSayWhatHappened: every error names the domain, and a failure of DNS
// what was asked, of whom, and what happened.
func TestErrorsSayWhatHappened(t *testing.T) {
	s := dns.Start(t, searchZone)
	s.Fault("soft.test.", dns.Fault{Kind: dns.ServFail})
	s.Fault("servfail.test.", dns.Fault{Kind: dns.ServFail})
	s.Fault("refused.test.", dns.Fault{Kind: dns.Refused})
	s.Fault("timeout.test.", dns.Fault{Kind: dns.Timeout})
	s.Fault("empty.test.", dns.Fault{Kind: dns.Referral, Type: "MX"})
	s.Fault("same.test.", dns.Fault{Kind: dns.TruncatedAlways})
	closed := closedPort(t)
	tests := []struct{ server, domain, want string }{
		{s.Addr(), "servfail.test", "MX lookup of servfail.test at name server SERVER: SERVFAIL"},
		{s.Addr(), "refused.test", "MX lookup of refused.test at name server SERVER: REFUSED"},
		{s.Addr(), "timeout.test", "MX lookup of timeout.test at name server SERVER: no answer within 1s"},
		{s.Addr(), "empty.test", "MX lookup of empty.test at name server SERVER: the name server does not recurse"},
		{s.Addr(), "same.test", "MX lookup of same.test at name server SERVER: the answer is too long for UDP, and over TCP: the name server closed the connection"},
		{closed, "two.test", "MX lookup of two.test at name server SERVER: connection refused"},
		{s.Addr(), "loop.test", "MX lookup of loop.test at name server SERVER: CNAME loop or chain of more than 10"},
		{s.Addr(), "softmx.test", "A lookup of soft.test at name server SERVER: SERVFAIL (for the mail of softmx.test)"},
		{s.Addr(), "nowhere.test", "domain nowhere.test does not exist (MX lookup of nowhere.test at name server SERVER: NXDOMAIN) (to be confirmed)"},
		{s.Addr(), "null.test", "null.test accepts no mail (MX lookup of null.test at name server SERVER: null MX)"},
		{s.Addr(), "deadmx.test", "no mail host of deadmx.test has an address: gone.test, empty.test"},
		{s.Addr(), "odd.test", "odd.test has no MX record and no address"},
		{s.Addr(), "badnames.test", "no MX record of badnames.test names a host"},
		{s.Addr(), "self.test", "mail for self.test loops back to this host, by its mail host me.test"},
		{s.Addr(), "private.test", "mail host rfc1918.test of private.test has an address of this host or its local network"},
		{s.Addr(), "implicit.test", "mail host implicit.test of implicit.test has a prohibited address"},
		{s.Addr(), "selfsoft.test", "a mail host of selfsoft.test better than this one cannot be found now: " +
			"A lookup of soft.test at name server SERVER: SERVFAIL (for the mail of selfsoft.test)"},
	}
	if err := s.Add("odd.test. TXT \"nothing\""); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.domain, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(s)
			cfg.Servers = []string{tt.server}
			cfg.Prohibited = []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")}
			rt := await(t, startResolver(t, cfg, nil), tt.domain)
			if want := strings.ReplaceAll(tt.want, "SERVER", tt.server); rt.Err == nil || rt.Err.Text != want {
				t.Errorf("got  %v\nwant %s", rt.Err, want)
			}
		})
	}
}
