package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/filter"
)

func TestTakeOver(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // "key: old -> new", with "!" for a restart
	}{
		{"nothing", func(*Config) {}, nil},
		{"mode", func(c *Config) { c.Mode = "deliver" }, []string{`mode: "observe" -> "deliver"`}},
		{"a list of strings", func(c *Config) { c.Bulk.LocalDomains = []string{"a.example", "b.example"} },
			[]string{`bulk.local_domains: [] -> ["a.example", "b.example"]`}},
		{"rules", func(c *Config) { c.Bulk.Rule = []filter.Rule{{Header: "X"}} }, []string{`bulk.rule: 0 tables -> 1 tables`}},
		{"a duration", func(c *Config) { c.Retry.Lifetime = time.Hour }, []string{`retry.lifetime: "48h0m0s" -> "1h0m0s"`}},
		{"a list of durations", func(c *Config) { c.Pool.ClosedFor = []time.Duration{time.Second} },
			[]string{`pool.closed_for: ["1m0s", "1m0s", "1m0s", "1m0s", "1m0s", "2m0s", "2m0s", "5m0s", "10m0s", "30m0s"] -> ["1s"]`}},
		{"an inline table within a table", func(c *Config) { c.SMTP.Timeouts.Dot = time.Hour }, []string{`smtp.data_done_timeout: "10m0s" -> "1h0m0s"`}},
		{"an address", func(c *Config) { c.SMTP.Local4 = netip.MustParseAddr("192.0.2.1") }, []string{`smtp.bind_address: "" -> "192.0.2.1"`}},
		{"a default that another package has", func(c *Config) { c.DNS.Timeout = time.Second }, []string{`dns.timeout: the default -> "1s"`}},
		{"networks", func(c *Config) { c.DNS.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, []string{`dns.allow: [] -> ["10.0.0.0/8"]`}},
		{"the log", func(c *Config) { c.Log = LogConfig{"debug", "off", "mail"} },
			[]string{`log.level: "info" -> "debug"`, `log.mail: "stderr" -> "off"`, `log.name: "postfix" -> "mail"`}},
		{"routes", func(c *Config) { c.Route = map[string]string{"*": "[a]", "b.example": "[c]"} },
			[]string{`route."*":  -> "[a]"`, `route."b.example":  -> "[c]"`}},
		{"another listener of the MTA", func(c *Config) { c.Bounce.Inject = "[::1]:25" }, []string{`bounce.inject: "[127.0.0.1]:25" -> "[::1]:25"`}},
		{"no MTA any more", func(c *Config) { c.Bounce.Inject = "direct" }, []string{`!bounce.inject: "[127.0.0.1]:25" -> "direct"`}},
		{"hostname", func(c *Config) { c.Hostname = "other.example.org" }, []string{`!hostname: "" -> "other.example.org"`}},
		{"a key of the top of the file in an inline table", func(c *Config) { c.Snapshot.Ack = "memory" }, []string{`!ack: "journal" -> "memory"`}},
		{"a live key and one that is not", func(c *Config) { c.StateDir, c.Queue.Channels = "/x", 1 },
			[]string{`!state_dir: "/var/lib/millrace" -> "/x"`, `queue.channels: 500 -> 1`}},
	} {
		old, next := DefaultConfig(), DefaultConfig()
		test.change(next)
		got, changes := old.TakeOver(next)
		var lines []string
		want := DefaultConfig()
		for _, c := range changes {
			line := c.Key + ": " + c.Old + " -> " + c.New
			if c.Restart != "" {
				line = "!" + line
			}
			lines = append(lines, line)
		}
		test.change(want)
		want.Hostname, want.Snapshot.Ack, want.StateDir = old.Hostname, old.Snapshot.Ack, old.StateDir
		if want.Bounce.IsDirect() {
			want.Bounce = old.Bounce
		}
		if !slices.Equal(lines, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, lines, test.want)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: in force %+v", test.name, got)
		}
		if !reflect.DeepEqual(old, DefaultConfig()) {
			t.Errorf("%s: the old configuration was changed", test.name)
		}
	}
}

// TestChangedRules: a rule that is not one more is seen too.
func TestChangedRules(t *testing.T) {
	old, next := DefaultConfig(), DefaultConfig()
	old.Bulk.Rule, next.Bulk.Rule = []filter.Rule{{Header: "X"}}, []filter.Rule{{Header: "Y"}}
	if _, changes := old.TakeOver(next); len(changes) != 1 || changes[0].New != "1 tables, changed" {
		t.Errorf("%+v", changes)
	}
}

// TestEveryKeyIsLiveOrSaysWhy: the file with every key set is taken over by a daemon of defaults. Whoever adds a key sees here
// whether it is live, and must see to it in Daemon.Reload.
func TestEveryKeyIsLiveOrSaysWhy(t *testing.T) {
	full, err := Load(filepath.Join("testdata", "full.toml"))
	if err != nil {
		t.Fatal(err)
	}
	inForce, changes := DefaultConfig().TakeOver(full)
	var live, not []string
	for _, c := range changes {
		table, _, _ := strings.Cut(c.Key, ".")
		if c.Restart == "" {
			live = append(live, table)
		} else {
			not = append(not, table)
		}
	}
	slices.Sort(live)
	slices.Sort(not)
	if got := slices.Compact(live); !slices.Equal(got, []string{"allowance", "bounce", "bulk", "dns", "gate", "handback", "history", "log", "mode", "pool", "preflight", "queue", "reply", "retry", "route", "site", "smtp", "source", "statistics", "stop", "tenant"}) {
		t.Errorf("live: %q", got)
	}
	if got := slices.Compact(not); !slices.Equal(got, []string{"ack", "control", "events", "hostname", "journal", "milter", "smtpd", "snapshot", "state_dir"}) {
		t.Errorf("with a restart: %q", got)
	}
	if _, again := inForce.TakeOver(full); len(again) != len(not) && len(again) == 0 {
		t.Errorf("a second reload changes %+v", again)
	}
}

// TestLoadKnowsItsFile: a reload reads the file again that the daemon was started with.
func TestLoadKnowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "millrace.toml")
	if err := os.WriteFile(path, []byte("hostname = 'mail.example.org'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err := Load(path); err != nil || cfg.File != path {
		t.Errorf("%+v %v", cfg, err)
	}
}
