package snapshot

import (
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		key    string
		change func(*Config)
	}{
		{"ack", func(c *Config) { c.Ack = "" }},
		{"journal.commit_interval", func(c *Config) { c.Journal.CommitInterval = 0 }},
		{"journal.commit_interval", func(c *Config) { c.Journal.CommitInterval = time.Hour }},
		{"journal.commit_bytes", func(c *Config) { c.Journal.CommitBytes = 100 }},
		{"journal.segment_bytes", func(c *Config) { c.Journal.SegmentBytes = 1 << 40 }},
		{"journal.segment_bytes", func(c *Config) { c.Journal.SegmentBytes = 1 << 10 }},
		{"journal.sync_interval", func(c *Config) { c.Journal.SyncInterval = -1 }},
		{"snapshot.interval", func(c *Config) { c.Snapshot.Interval = time.Millisecond }},
	}
	for _, tt := range tests {
		c := DefaultConfig()
		tt.change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), tt.key+":") {
			t.Errorf("%s: %v", tt.key, err)
		}
	}
}

func TestConfigKeys(t *testing.T) {
	c := DefaultConfig()
	text := "ack = \"written\"\n[journal]\ncommit_interval = \"20ms\"\ncommit_bytes = 65536\nsegment_bytes = 1048576\nsync_interval = \"2s\"\n[snapshot]\ninterval = \"1m\"\n"
	md, err := toml.Decode(text, &c)
	if err != nil || len(md.Undecoded()) > 0 {
		t.Fatal(err, md.Undecoded())
	}
	want := Config{
		Ack: AckWritten, Snapshot: SnapshotConfig{Interval: time.Minute},
		Journal: JournalConfig{CommitInterval: 20 * time.Millisecond, CommitBytes: 65536, SegmentBytes: 1 << 20, SyncInterval: 2 * time.Second},
	}
	if c != want {
		t.Errorf("%+v", c)
	}
}
