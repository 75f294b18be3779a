package filter

import (
	"net/netip"
	"testing"
)

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "IPv6:2001:db8::1": "2001:db8::1", "ipv6:2001:db8::1": "2001:db8::1",
		"2001:db8::1": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1",
	} {
		if got := ParseAddr(in); got != netip.MustParseAddr(want) {
			t.Errorf("%q: %v", in, got)
		}
	}
	for _, in := range []string{"", "IPv6:", "unknown", "192.0.2.1.5", "[192.0.2.1]"} {
		if got := ParseAddr(in); got.IsValid() {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func FuzzParseAddr(f *testing.F) {
	f.Add("IPv6:2001:db8::1")
	f.Add("192.0.2.1")
	f.Fuzz(func(t *testing.T, s string) {
		if a := ParseAddr(s); a.IsValid() && ParseAddr(a.String()) != a {
			t.Errorf("%q is %v, which is not itself", s, a)
		}
	})
}
