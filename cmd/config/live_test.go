package config

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestTakeOver(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(*Config)
		taken   bool
		restart []string
	}{
		{"nothing", func(*Config) {}, true, nil},
		{"mode", func(c *Config) { c.Mode = "deliver" }, true, nil},
		{"bulk", func(c *Config) { c.Bulk.LocalDomains = []string{"example.org"} }, true, nil},
		{"retry", func(c *Config) { c.Retry.Lifetime = time.Hour }, true, nil},
		{"handback", func(c *Config) { c.Handback.Visits = 3 }, true, nil},
		{"smtp", func(c *Config) { c.SMTP.Hostname, c.SMTP.Timeouts.Dot = "out.example.org", time.Hour }, true, nil},
		{"log level", func(c *Config) { c.Log.Level = "debug" }, true, nil},
		{"mail log", func(c *Config) { c.Log.Mail = "off" }, false, []string{"log"}},
		{"hostname", func(c *Config) { c.Hostname = "other.example.org" }, false, []string{"hostname"}},
		{"ack", func(c *Config) { c.Snapshot.Ack = "memory" }, false, []string{"ack, journal or snapshot"}},
		{"two", func(c *Config) { c.StateDir, c.Queue.Channels = "/x", 1 }, false, []string{"state_dir", "queue"}},
	} {
		old, next := DefaultConfig(), DefaultConfig()
		test.change(next)
		got, restart := old.TakeOver(next)
		want := old
		if test.taken {
			want = next
		}
		if !reflect.DeepEqual(got, want) || !slices.Equal(restart, test.restart) {
			t.Errorf("%s: restart %q, got %+v", test.name, restart, got)
		}
		if !reflect.DeepEqual(old, DefaultConfig()) {
			t.Errorf("%s: the old configuration was changed", test.name)
		}
	}
}
