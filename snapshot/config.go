package snapshot

import (
	"fmt"
	"time"
)

// Ack says how safe a message is when Take returns.
type Ack string

const (
	// AckJournal: the record is on the disk. Neither kill -9 nor a power cut loses an answered message.
	AckJournal Ack = "journal"
	// AckWritten: the operating system has it. Kill -9 loses nothing, a power cut at most the last SyncInterval.
	AckWritten Ack = "written"
	// AckMemory: at once. A crash loses what came since the last write, a power cut what came since the last snapshot.
	AckMemory Ack = "memory"
)

// Config is what the recovery agent can be told.
type Config struct {
	Ack      Ack            `toml:"ack"`
	Journal  JournalConfig  `toml:"journal"`
	Snapshot SnapshotConfig `toml:"snapshot"`

	salvage bool // see Salvage
}

// JournalConfig is the [journal] table.
type JournalConfig struct {
	CommitInterval time.Duration `toml:"commit_interval"` // longest time an outcome waits for its commit
	CommitBytes    int           `toml:"commit_bytes"`    // bytes in one commit; more takes wait for the next
	SegmentBytes   int64         `toml:"segment_bytes"`   // size of a segment, reserved on the disk ahead
	SyncInterval   time.Duration `toml:"sync_interval"`   // ack = "written": longest time between two fsyncs
}

// SnapshotConfig is the [snapshot] table.
type SnapshotConfig struct {
	Interval time.Duration `toml:"interval"` // time between two snapshots
}

// DefaultConfig is the configuration of an empty file.
func DefaultConfig() Config {
	return Config{
		Ack: AckJournal,
		Journal: JournalConfig{
			CommitInterval: 50 * time.Millisecond, CommitBytes: 4 << 20, SegmentBytes: 64 << 20, SyncInterval: time.Second,
		},
		Snapshot: SnapshotConfig{Interval: 30 * time.Second},
	}
}

// Validate returns what is wrong, naming the key.
func (c Config) Validate() error {
	switch c.Ack {
	case AckJournal, AckWritten, AckMemory:
	default:
		return fmt.Errorf(`ack: %q is not "journal", "written" or "memory"`, string(c.Ack))
	}
	if err := c.Journal.Validate(); err != nil {
		return fmt.Errorf("journal.%w", err)
	}
	if c.Snapshot.Interval < time.Second {
		return fmt.Errorf("snapshot.interval: %s is less than 1s", c.Snapshot.Interval)
	}
	return nil
}

// Validate returns what is wrong, naming the key.
func (c JournalConfig) Validate() error {
	switch {
	case c.CommitInterval <= 0 || c.CommitInterval > time.Minute:
		return fmt.Errorf("commit_interval: %s is not between 0 and 1m", c.CommitInterval)
	case c.CommitBytes < 4096 || c.CommitBytes > 256<<20:
		return fmt.Errorf("commit_bytes: %d is not between 4096 and 268435456", c.CommitBytes)
	case c.SegmentBytes < 64<<10 || c.SegmentBytes > 1<<30:
		return fmt.Errorf("segment_bytes: %d is not between 65536 and 1073741824", c.SegmentBytes)
	case c.SyncInterval <= 0:
		return fmt.Errorf("sync_interval: %s is not a positive duration", c.SyncInterval)
	}
	return nil
}

// reserve is the part of a segment that takes leave free, so that outcomes can still be recorded on a full disk.
func (c JournalConfig) reserve() int64 { return c.SegmentBytes / 8 }
