package route

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	tests := []struct {
		cfg Config
		key string
	}{
		{Config{Timeout: -1}, "timeout"},
		{Config{Quick: -1}, "quick"},
		{Config{MinTTL: -1}, "min_ttl"},
		{Config{MinTTL: 2 * time.Hour}, "max_ttl"},
		{Config{MaxStale: -1}, "max_stale"},
		{Config{Entries: -1}, "entries"},
		{Config{Waiting: -1}, "waiting"},
		{Config{Parallel: 3}, "parallel"},
		{Config{Servers: []string{"192.0.2.53", "dns.example"}}, "servers"},
		{Config{Servers: []string{"192.0.2.53:0"}}, "servers"},
	}
	for _, tt := range tests {
		if err := tt.cfg.Validate(); err == nil || !strings.Contains(err.Error(), tt.key+":") {
			t.Errorf("%s: got %v", tt.key, err)
		}
	}
	if _, err := New(Config{Parallel: 1}, Table{}, nil); err == nil {
		t.Error("New accepts what Validate refuses")
	}
}

func TestConfigServers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		cfg  []string
		file string
		want string
	}{
		{[]string{"192.0.2.53", "[2001:db8::53]:5353", "2001:db8::54"}, "", "192.0.2.53:53 [2001:db8::53]:5353 [2001:db8::54]:53"},
		{nil, "# comment\nsearch x\nnameserver 192.0.2.1\nnameserver fe80::1%lo\n", "192.0.2.1:53 [fe80::1%lo]:53"},
		{nil, "search x\n", "127.0.0.1:53"},
	}
	for _, tt := range tests {
		write(tt.file)
		list, err := Config{Servers: tt.cfg}.servers(file)
		var got []string
		for _, s := range list {
			got = append(got, s.String())
		}
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%v %q: got %v, %v", tt.cfg, tt.file, got, err)
		}
	}
	if _, err := (Config{}).servers(file + ".absent"); err == nil || !strings.Contains(err.Error(), "servers") {
		t.Errorf("no file: %v", err)
	}
	write("nameserver nonsense\n")
	if _, err := (Config{}).servers(file); err == nil {
		t.Error("nonsense accepted")
	}
}

// TestConfigKeys keeps the keys of the configuration file in place.
func TestConfigKeys(t *testing.T) {
	want := "servers timeout quick min_ttl max_ttl max_stale entries waiting parallel port ipv4_only " +
		"literals allow_private allow prohibited own - - - - -"
	var keys []string
	for f := range reflect.TypeFor[Config]().Fields() {
		keys = append(keys, f.Tag.Get("toml"))
	}
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("got %s", got)
	}
	var p netip.Prefix
	if err := p.UnmarshalText([]byte("10.0.0.0/8")); err != nil {
		t.Errorf("networks cannot be read from text: %v", err)
	}
}
