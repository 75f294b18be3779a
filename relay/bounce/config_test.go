package bounce

import (
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	tests := []struct {
		key  string
		bad  func(*Config)
		good bool
	}{
		{"inject", func(c *Config) { c.Inject = "127.0.0.1" }, false},
		{"inject", func(c *Config) { c.Inject = "[]:25" }, false},
		{"inject", func(c *Config) { c.Inject = "[127.0.0.1]:0" }, false},
		{"inject", func(c *Config) { c.Inject = "[127.0.0.1]:smtp" }, false},
		{"inject", func(c *Config) { c.Inject = "[127.0.0.1]:65536" }, false},
		{"inject", func(c *Config) { c.Inject = "[::1]:10026" }, true},
		{"inject", func(c *Config) { c.Inject = "mail.example.org:25" }, true},
		{"delay", func(c *Config) { c.Delay = 0 }, false},
		{"delay", func(c *Config) { c.Delay = 2 * time.Hour }, false},
		{"from", func(c *Config) { c.From = "" }, false},
		{"from", func(c *Config) { c.From = "a b" }, false},
		{"from", func(c *Config) { c.From = "bounces@example.org" }, true},
		{"postmaster", func(c *Config) { c.Postmaster = "x\r\n" }, false},
		{"max_header", func(c *Config) { c.MaxHeader = 10 }, false},
		{"max_header", func(c *Config) { c.MaxHeader = 1 << 30 }, false},
	}
	for _, tt := range tests {
		c := DefaultConfig()
		tt.bad(&c)
		err := c.Validate()
		if tt.good && err != nil || !tt.good && (err == nil || !strings.HasPrefix(err.Error(), tt.key+":")) {
			t.Errorf("%+v: error %v; good: %v, key %s", c, err, tt.good, tt.key)
		}
	}
}

func TestNotify(t *testing.T) {
	tests := map[string]Wish{
		"":                      {Failure: true},
		"NEVER":                 {},
		"never":                 {},
		"FAILURE":               {Failure: true},
		"failure":               {Failure: true},
		"SUCCESS":               {Success: true},
		"DELAY":                 {Delay: true},
		"SUCCESS,FAILURE,DELAY": {Success: true, Failure: true, Delay: true},
		"SUCCESS,NEVER":         {Failure: true},
		"SUCCESS, FAILURE":      {Failure: true},
		"garbage":               {Failure: true},
		",":                     {Failure: true},
	}
	for param, want := range tests {
		if got := Notify(param); got != want {
			t.Errorf("%q: %+v, want %+v", param, got, want)
		}
	}
}
