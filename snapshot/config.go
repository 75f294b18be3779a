package snapshot

import (
	"fmt"
	"time"
)

// Ack says how safe a message is when Take returns, which is when the MTA hears "taken". FORMAT.md section 1 has the table.
type Ack string

const (
	// AckJournal: the record is on the disk. Neither kill -9 nor a power cut loses an answered message.
	AckJournal Ack = "journal"
	// AckWritten: the operating system has it. Kill -9 loses nothing, a power cut at most the last SyncInterval.
	AckWritten Ack = "written"
	// AckMemory: at once. A crash loses what came since the last write, a power cut what came since the last snapshot.
	AckMemory Ack = "memory"
)

// Config is the configuration of the recovery agent. None of it can change while the daemon runs.
type Config struct {
	Ack      Ack            `toml:"ack"`
	Journal  JournalConfig  `toml:"journal"`
	Snapshot SnapshotConfig `toml:"snapshot"`

	salvage bool // set by Salvage: go on where a start would be refused
}

// JournalConfig is the [journal] table.
type JournalConfig struct {
	// CommitInterval is the longest time an outcome waits for its commit. A take never waits for it.
	CommitInterval time.Duration `toml:"commit_interval"`
	// CommitBytes bounds one commit; more takes wait for the next one. It bounds the memory and the length of one write.
	CommitBytes int `toml:"commit_bytes"`
	// SegmentBytes is the size of a segment, reserved on the disk when the segment is made.
	SegmentBytes int64 `toml:"segment_bytes"`
	// SyncInterval is, with ack = "written", the longest time between two fsyncs: what a power cut may lose.
	SyncInterval time.Duration `toml:"sync_interval"`
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

// Validate returns the first value that cannot be used, by its key.
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

// Validate returns the first value that cannot be used, by its key without the table.
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

// gatherBytes is the size from which on a commit does not wait for more askers.
func (c JournalConfig) gatherBytes() int { return min(gatherBytes, c.CommitBytes) }

// reserve is the part of a segment that takes do not use. On a full disk outcomes go there: without it nothing could be sent,
// and the disk would never have room again.
func (c JournalConfig) reserve() int64 { return c.SegmentBytes / 8 }
