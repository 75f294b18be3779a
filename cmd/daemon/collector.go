package daemon

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// leastRoom and mostRoom bound how far the heap may grow between two collections, in percent of what is live. mostRoom is what
	// the Go runtime gives.
	leastRoom, mostRoom = 25, 100
	// fairRoom is so many bytes that a heap may grow in any case, as far as mostRoom goes: the room of a small heap costs nobody
	// anything.
	fairRoom = 32 << 20
	// fairShare is the part of all processors' time that the collector may take before it gets more room than it must have. Half the
	// room is twice the work.
	fairShare = 0.05
	// recoveryRoom is the room while the recovery runs, which makes little garbage: of four bytes that it allocates, three stay. The heap
	// is hardly larger than with less room, and the collector does not go over a million messages again and again as they come.
	recoveryRoom = 300
	// tendEvery is how often the room is set. A burst of mail has more room after two or three times.
	tendEvery = time.Second
)

// collector keeps the heap's room small, because the memory of waiting mail would else be twice what the mail takes: with a
// million messages, a gigabyte for nothing. When the garbage of passing mail makes that cost too much processor time, the room is made
// larger, up to what the Go runtime gives by itself. The memory limit holds in any case.
type collector struct {
	room  int       // in percent of the live heap
	at    time.Time // of the last look
	spent float64   // processor seconds of the collector until then, as far as its cycles had ended
	share float64   // the collector's part of all processors' time, lately
}

// tend sets the room each second until ctx is done.
func (c *collector) tend(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			c.adjust(now)
		}
	}
}

// adjust sets the room for what the heap holds now. Reading these metrics does not stop the program; setting the room does, for
// some microseconds, so that a small change is left out.
func (c *collector) adjust(now time.Time) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(samples)
	live, spent := samples[0].Value.Uint64(), samples[1].Value.Float64()
	if all := now.Sub(c.at).Seconds() * float64(runtime.GOMAXPROCS(0)); all > 0 {
		c.share = (c.share + (spent-c.spent)/all) / 2
	}
	c.spent, c.at = spent, now
	if room := roomFor(live, c.room, c.share); max(room-c.room, c.room-room) > c.room/16 {
		c.room = room
		debug.SetGCPercent(room)
	}
}

// roomFor is the room of a heap of so many live bytes, whose collector took that share of the processors while it had the room had.
func roomFor(live uint64, had int, share float64) int {
	least := max(leastRoom, int(min(mostRoom, 100*fairRoom/max(live, 1))))
	return min(mostRoom, max(least, int(float64(had)*share/fairShare)))
}

// tendsCollector reports whether the room is ours to set: the operator has not chosen it by GOGC.
func (d *Daemon) tendsCollector() bool { return d.alone && os.Getenv("GOGC") == "" }

// widenRoom gives the collector the room for a recovery, until tendCollector.
func (d *Daemon) widenRoom() {
	if d.tendsCollector() {
		debug.SetGCPercent(recoveryRoom)
	}
}

// tendCollector has the collector tended until ctx is done.
func (d *Daemon) tendCollector(ctx context.Context) {
	if d.tendsCollector() {
		debug.SetGCPercent(mostRoom)
		c := &collector{room: mostRoom, at: time.Now()}
		d.run.Go(func() { c.tend(ctx) }) // ends with ctx
	}
}

// giveBack gives what the recovery needed beside the mail back to the system. The collector would do that in its own time, over minutes.
func (d *Daemon) giveBack() {
	if d.alone && d.agent.Status().Recovery.Messages > 0 {
		d.run.Go(debug.FreeOSMemory) // ends with one collection
	}
}
