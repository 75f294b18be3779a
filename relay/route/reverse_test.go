package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/dns"
)

// TestReverse: the names of an address, which of them lead back, and what nobody knows.
func TestReverse(t *testing.T) {
	s := dns.Start(t, `
		1.2.0.192.in-addr.arpa. PTR Mail.a.test.
		mail.a.test. A 192.0.2.1
		2.2.0.192.in-addr.arpa. PTR mail.b.test.
		2.2.0.192.in-addr.arpa. PTR other.b.test.
		mail.b.test. A 192.0.2.99
		other.b.test. CNAME real.b.test.
		real.b.test. A 192.0.2.2
		3.2.0.192.in-addr.arpa. CNAME 3.part.2.0.192.in-addr.arpa.
		3.part.2.0.192.in-addr.arpa. PTR mail.c.test.
		mail.c.test. A 192.0.2.3
		4.2.0.192.in-addr.arpa. PTR lost.d.test.
		5.2.0.192.in-addr.arpa. CNAME 5.2.0.192.in-addr.arpa.
		1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR mail.a.test.
		mail.a.test. AAAA 2001:db8::1
	`)
	var many strings.Builder
	for i := range 30 {
		fmt.Fprintf(&many, "7.2.0.192.in-addr.arpa. PTR h%d.e.test.\n", i)
	}
	if err := s.Add(many.String()); err != nil {
		t.Fatal(err)
	}
	s.Fault("6.2.0.192.in-addr.arpa", dns.Fault{Kind: dns.ServFail})
	s.Fault("3.2.0.192.in-addr.arpa", dns.Fault{Kind: dns.Bare})
	r := startResolver(t, testConfig(s), nil)
	for addr, want := range map[string]string{
		"192.0.2.1":        "[mail.a.test] [mail.a.test] <nil>",
		"::ffff:192.0.2.1": "[mail.a.test] [mail.a.test] <nil>",
		"2001:db8::1":      "[mail.a.test] [mail.a.test] <nil>",
		"192.0.2.2":        "[mail.b.test other.b.test] [other.b.test] <nil>",
		"192.0.2.3":        "[mail.c.test] [mail.c.test] <nil>",
		"192.0.2.4":        "[lost.d.test] [] <nil>",
		"192.0.2.5":        "[] [] 5.2.0.192.in-addr.arpa: CNAME loop or chain of more than 10",
		"192.0.2.6":        "[] [] 6.2.0.192.in-addr.arpa: SERVFAIL",
		"192.0.2.8":        "[] [] <nil>",
	} {
		rev, err := r.Reverse(t.Context(), netip.MustParseAddr(addr))
		if got := fmt.Sprintf("%v %v %v", rev.Names, rev.Back, err); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if rev, err := r.Reverse(t.Context(), netip.MustParseAddr("192.0.2.7")); err != nil || len(rev.Names) != maxNames {
		t.Errorf("%d names, %v", len(rev.Names), err)
	}
}
