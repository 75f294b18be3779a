package route

import (
	"net/netip"
	"testing"
)

func TestGuardProhibits(t *testing.T) {
	g := newGuard(Config{
		Allow:      []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32"), netip.MustParsePrefix("203.0.113.0/24")},
		Prohibited: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")},
	})
	open := newGuard(Config{AllowPrivate: true})
	tests := []struct {
		addr          string
		strict, loose bool // prohibited by g, by open
	}{
		{"192.0.2.1", false, false},
		{"2001:db8::1", false, false},
		{"127.0.0.1", true, true},
		{"127.0.0.2", false, true},
		{"::1", true, true},
		{"0.0.0.0", true, true},
		{"0.1.2.3", true, true},
		{"::", true, true},
		{"169.254.169.254", true, true},
		{"fe80::1", true, true},
		{"224.0.0.1", true, true},
		{"ff02::1", true, true},
		{"255.255.255.255", true, true},
		{"240.0.0.1", true, true},
		{"10.0.0.1", true, false},
		{"172.16.0.1", true, false},
		{"192.168.1.1", true, false},
		{"100.64.0.1", true, false},
		{"100.128.0.1", false, false},
		{"fd00::1", true, false},
		{"::ffff:127.0.0.1", true, true},
		{"::ffff:10.0.0.1", true, false},
		{"::ffff:0.1.2.3", true, true},
		{"::ffff:203.0.113.7", true, false},
		{"::127.0.0.1", true, true},
		{"64:ff9b::7f00:1", true, true},
		{"64:ff9b::c000:201", false, false},
		{"2002:7f00:1::", true, true},
		{"2002:a00:1::", true, false},
		{"203.0.113.1", false, false},
		{"203.0.113.7", true, false},
	}
	for _, tt := range tests {
		a := netip.MustParseAddr(tt.addr)
		if got := g.prohibits(a); got != tt.strict {
			t.Errorf("%s: prohibited %v, want %v", tt.addr, got, tt.strict)
		}
		if got := open.prohibits(a); got != tt.loose {
			t.Errorf("%s with private networks allowed: prohibited %v, want %v", tt.addr, got, tt.loose)
		}
	}
}

func TestLocalAddrsLeavesLoopbackOut(t *testing.T) {
	list, err := LocalAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.IsLoopback() || !a.IsValid() {
			t.Errorf("has %v", a)
		}
	}
}
