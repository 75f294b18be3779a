package route

import (
	"errors"
	"strings"
	"testing"
)

func TestDomain(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct{ in, want string }{
		{"example.com", "example.com"},
		{"EXAMPLE.Com.", "example.com"},
		{"bücher.example", "xn--bcher-kva.example"},
		{"BÜCHER.example", "xn--bcher-kva.example"},
		{"straße.example", "xn--strae-oqa.example"}, // not transitional: not "strasse"
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"xn--a.example", "xn--a.example"}, // stands for nothing, but DNS may have it
		{"XN--zzzzzzzzz99999.example", "xn--zzzzzzzzz99999.example"},
		{"例え。テスト", "xn--r8jz45g.xn--zckzah"},
		{"_dmarc.example.com", "_dmarc.example.com"},
		{"r3---sn-abc.example", "r3---sn-abc.example"},
		{"-odd-.example", "-odd-.example"},
		{"localhost", "localhost"},
		{long + ".example", long + ".example"},
		{"[192.0.2.1]", "[192.0.2.1]"},
		{"[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]"},
		{"[ipv6:2001:db8::1]", "[ipv6:2001:db8::1]"},
		// A trailing dot, which the name has in DNS, makes no other domain.
		{"[192.0.2.1].", "[192.0.2.1]"},
		{"localhost.", "localhost"},
		{"bücher.example.", "xn--bcher-kva.example"},
		{"xn--bcher-kva.example.", "xn--bcher-kva.example"},
		{"例え。テスト。", "xn--r8jz45g.xn--zckzah"},
	}
	for _, tt := range tests {
		if got, err := Domain(tt.in); err != nil || got != tt.want {
			t.Errorf("Domain(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestDomainRefuses(t *testing.T) {
	label := strings.Repeat("a", 64)
	bad := []string{
		"", ".", "..", "a..b", "a..", "[].", "[192.0.2.1]..", ".a", "a b", "a@b", "a\r\nb", "a\x00", "a/b", "[", "[]", "[1.2.3]",
		"[::1]", "[IPv6:192.0.2.1]", "[IPv6:fe80::1%eth0]", "[192.0.2.1", "[192.0.2.1]x",
		label + ".example", strings.Repeat("abcdefgh.", 32) + "com", "xn--\x80", "ü.xn--zzzzzzzzz99999.example",
		"a\u200db.example", "\u0301a.example", strings.Repeat("ü", 60) + ".example",
	}
	for _, in := range bad {
		if got, err := Domain(in); !errors.Is(err, ErrDomain) {
			t.Errorf("Domain(%q) = %q, %v; want ErrDomain", in, got, err)
		}
	}
}

func TestDomainDoesNotAllocateForNormalNames(t *testing.T) {
	n := testing.AllocsPerRun(100, func() { Domain("mail.example.com") })
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDomain holds that a domain which Domain accepts is in normal form and has nothing
// in it that could end a line or a word of SMTP.
func FuzzDomain(f *testing.F) {
	for _, s := range []string{"example.com", "Bücher.Example.", "xn--bcher-kva", "[IPv6:::1]", "[192.0.2.1]", "a..b", "例。", "ſ.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Domain(s)
		if err != nil {
			return
		}
		again, err := Domain(got)
		if err != nil || again != got {
			t.Errorf("Domain(%q) = %q, but again %q, %v", s, got, again, err)
		}
		if len(got) > 255 || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' || r == '@' }) {
			t.Errorf("Domain(%q) = %q", s, got)
		}
	})
}
