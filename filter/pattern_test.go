package filter

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything", true},
		{"news", "news", true},
		{"News", "nEWS", true},
		{"news", "newss", false},
		{"bounce+*@news.example.com", "bounce+a=b.example@NEWS.example.com", true},
		{"bounce+*@news.example.com", "bounce@news.example.com", false},
		{"*@*.example.com", "x@a.b.example.com", true},
		{"*a*b*c*", "xxaxxbxxc", true},
		{"*a*b*c", "abcabx", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"***", "", true},
		{"a**", "a", true},
	} {
		if got := newPattern(tt.pattern).match(tt.text); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
}

func TestSenderPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, sender string
		want            bool
	}{
		{"news.example.com", "a@news.example.com", true},
		{"news.example.com", "a@x.news.example.com", false},
		{"@news.example.com", "a@news.example.com", true},
		{"*.example.com", "a@news.example.com", true},
		{"a@b.example", "A@B.example", true},
		{"a@b.example", "aa@b.example", false},
	} {
		if got := senderPattern(tt.pattern).match(tt.sender); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.sender, got, tt.want)
		}
	}
}

func TestClient(t *testing.T) {
	for _, tt := range []struct {
		client, name, addr string
		want               bool
	}{
		{"192.0.2.1", "", "192.0.2.1", true},
		{"192.0.2.1", "", "192.0.2.2", false},
		{"192.0.2.1", "", "::ffff:192.0.2.1", true},
		{"192.0.2.0/24", "", "192.0.2.77", true},
		{"192.0.2.0/24", "", "192.0.3.77", false},
		{"192.0.2.0/24", "", "", false},
		{"2001:db8::/32", "", "2001:db8::1", true},
		{"::ffff:192.0.2.0/120", "", "192.0.2.77", true},
		{"::ffff:192.0.2.0/120", "", "192.0.3.77", false},
		{"*", "app2", "192.0.2.1", true},
		{"10-*-1.isp.example", "10-2-1.isp.example", "192.0.2.1", true},
		{"*.app.example", "web1.APP.example", "192.0.2.1", true},
		{"*.app.example", "unknown", "192.0.2.1", false},
	} {
		test, err := parseClient(tt.client)
		if err != nil {
			t.Fatal(err)
		}
		o := Offer{ClientName: tt.name}
		if tt.addr != "" {
			o.ClientAddr = netip.MustParseAddr(tt.addr)
		}
		if got := test(&o); got != tt.want {
			t.Errorf("%q holds for %q %q: %v, want %v", tt.client, tt.name, tt.addr, got, tt.want)
		}
	}
}

// FuzzPattern compares with a regular expression that says the same.
func FuzzPattern(f *testing.F) {
	f.Add("bounce+*@*", "bounce+x@y")
	f.Add("*a*b?", "aabb")
	f.Add("\xff*", "\xffz")
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 40 || len(s) > 200 || !ascii(p) || !ascii(s) {
			return
		}
		var re strings.Builder
		re.WriteString(`(?is)\A`)
		for i := range len(p) {
			switch p[i] {
			case '*':
				re.WriteString(".*")
			case '?':
				re.WriteString(".")
			default:
				re.WriteString(regexp.QuoteMeta(p[i : i+1]))
			}
		}
		re.WriteString(`\z`)
		want := regexp.MustCompile(re.String()).MatchString(s)
		if got := newPattern(p).match(s); got != want {
			t.Errorf("%q matches %q: %v, want %v", p, s, got, want)
		}
	})
}

// ascii also keeps out K and S, of which Unicode has other lower cases.
func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= 0x80 || strings.ContainsRune("kKsS", c) })
}
