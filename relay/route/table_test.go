package route

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseTable(t *testing.T) {
	tests := []struct {
		value string
		want  hop
		site  string
	}{
		{"relay.example", hop{host: "relay.example", mx: true}, "relay.example:25"},
		{"Relay.Example:2525", hop{host: "relay.example", mx: true, port: 2525}, "relay.example:2525"},
		{"[relay.example]", hop{host: "relay.example"}, "[relay.example]:25"},
		{"[relay.example]:26", hop{host: "relay.example", port: 26}, "[relay.example]:26"},
		{"[127.0.0.1]:2525", hop{addr: netip.MustParseAddr("127.0.0.1"), port: 2525}, "[127.0.0.1]:2525"},
		{"[IPv6:::1]:25", hop{addr: netip.MustParseAddr("::1"), port: 25}, "[::1]:25"},
		{"[::1]:25", hop{addr: netip.MustParseAddr("::1"), port: 25}, "[::1]:25"},
		{"[2001:db8::1]", hop{addr: netip.MustParseAddr("2001:db8::1")}, "[2001:db8::1]:25"},
		{"[fe80::1%eth0]", hop{addr: netip.MustParseAddr("fe80::1%eth0")}, "[fe80::1%eth0]:25"},
	}
	for _, tt := range tests {
		table, err := ParseTable(map[string]string{"example.com": tt.value})
		if err != nil {
			t.Errorf("%q: %v", tt.value, err)
			continue
		}
		got, _ := table.find("example.com")
		if got != tt.want || got.site(got.portOr(25)) != tt.site {
			t.Errorf("%q: got %+v, site %q", tt.value, got, got.site(got.portOr(25)))
		}
	}
}

func TestParseTableErrorsNameKeyAndRepair(t *testing.T) {
	tests := []struct{ key, value, want string }{
		{"example.com", "", `write "host:port" or "[host]:port"`},
		{"example.com", "host:", `write "host:25"`},
		{"example.com", "host:0", `write "host:25"`},
		{"example.com", "host:smtp", `port "smtp"`},
		{"example.com", "host:65536", "1 to 65535"},
		{"example.com", "[host", "closing bracket"},
		{"example.com", "[host]25", "after the bracket"},
		{"example.com", "[]", "no host in the brackets"},
		{"example.com", "[a b]", "no host in the brackets"},
		{"example.com", "127.0.0.1:25", "in brackets"},
		{"example.com", "2001:db8::1", "in brackets"},
		{"example.com", "[0.0.0.0]:25", "no address of one host"},
		{"example.com", "[::]", "no address of one host"},
		{"example.com", "[224.0.0.1]", "no address of one host"},
		{"example.com", "[255.255.255.255]", "no address of one host"},
		{"example.com", "[ff02::1%eth0]", "no address of one host"},
		{"example.com", "a b", "is no host"},
		{"", "host", `write "example.com"`},
		{".", "host", `write "example.com"`},
		{"*.example.com", "host", `write "example.com"`},
		{".[192.0.2.1]", "host", `write "example.com"`},
	}
	for _, tt := range tests {
		_, err := ParseTable(map[string]string{tt.key: tt.value})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `route "`+tt.key+`"`) {
			t.Errorf("%q = %q: got %v, want %q", tt.key, tt.value, err, tt.want)
		}
	}
	_, err := ParseTable(map[string]string{"A.test": "x", "a.test": "y"})
	if err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("two spellings: %v", err)
	}
	_, err = ParseTable(map[string]string{"b.test": "x:y", "a.test": "x:y"})
	if err == nil || strings.Index(err.Error(), "a.test") > strings.Index(err.Error(), "b.test") {
		t.Errorf("two errors: %v", err)
	}
}

func TestTableFind(t *testing.T) {
	table, err := ParseTable(map[string]string{
		"example.com": "exact", ".example.com": "parent", ".a.example.com": "nearer", "*": "rest",
	})
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"example.com": "exact", "b.example.com": "parent", "a.example.com": "parent",
		"x.a.example.com": "nearer", "y.x.a.example.com": "nearer", "example.org": "rest",
		"com": "rest", "badexample.com": "rest", "[192.0.2.1]": "rest",
	} {
		if got, ok := table.find(domain); !ok || got.host != want {
			t.Errorf("find(%q) = %+v, want %s", domain, got, want)
		}
	}
	if _, ok := (Table{}).find("example.com"); ok {
		t.Error("the empty table has something")
	}
	table, _ = ParseTable(map[string]string{".example.com": "parent"})
	if _, ok := table.find("example.com"); ok {
		t.Error(".parent covers the parent itself")
	}
}

// FuzzParseTable holds that an accepted entry can be found again and means one
// usable next hop.
func FuzzParseTable(f *testing.F) {
	f.Add("example.com", "[127.0.0.1]:2525")
	f.Add(".example.com", "relay.example:25")
	f.Add("*", "[IPv6:::1]:25")
	f.Add("a", "[[::1]]:1")
	f.Fuzz(func(t *testing.T, key, value string) {
		table, err := ParseTable(map[string]string{key: value})
		if err != nil {
			return
		}
		probe := key
		if key == "*" {
			probe = "any.test"
		} else if strings.HasPrefix(key, ".") {
			probe = "sub" + key
		}
		if len(probe) > 240 {
			return
		}
		domain, err := Domain(probe)
		if err != nil {
			t.Fatalf("key %q was accepted, yet %v", key, err)
		}
		h, ok := table.find(domain)
		if !ok || h.addr.IsValid() == (h.host != "") || h.portOr(25) == 0 {
			t.Errorf("%q = %q: %+v, %v", key, value, h, ok)
		}
		if h.host != "" && checkName(h.host) != nil {
			t.Errorf("host %q", h.host)
		}
	})
}
