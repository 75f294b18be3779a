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
	// recoveryRoom is the room while the recovery runs, which makes little garbage: of four bytes that it allocates, three stay. The
	// heap is hardly larger than with less room, and the collector does not go over a million messages again and again.
	recoveryRoom = 300
	// restRate is how many bytes a second a daemon at rest may allocate: mail waits, and little comes and goes.
	restRate = 2 << 20
	// restLoose is how much of the heap such a daemon gives back to the system once it is garbage or free: at least so many bytes,
	// and at least a restPart of what is live. At restRate the collector then takes a thirtieth of a processor at most, however much
	// mail waits.
	restLoose, restPart = 8 << 20, 16
	// tendEvery is how often the room is set. A burst of mail has more room after two or three times.
	tendEvery = time.Second
)

// collector keeps the heap's room small, because the memory of waiting mail would else be twice what the mail takes: with a
// million messages, a gigabyte for nothing. When the garbage of passing mail makes that cost too much processor time, the room is made
// larger, up to what the Go runtime gives by itself. The memory limit holds in any case. A daemon at rest gives back what a burst of
// mail has left.
type collector struct {
	room  int       // in percent of the live heap
	at    time.Time // of the last look
	spent float64   // processor seconds of the collector until then, as far as its cycles had ended
	made  uint64    // bytes that the program had allocated until then, in all
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
	const live, spent, made, held, free = 0, 1, 2, 3, 4
	s := []metrics.Sample{
		live: {Name: "/gc/heap/live:bytes"}, spent: {Name: "/cpu/classes/gc/total:cpu-seconds"}, made: {Name: "/gc/heap/allocs:bytes"},
		held: {Name: "/memory/classes/heap/objects:bytes"}, free: {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	took := now.Sub(c.at).Seconds()
	if all := took * float64(runtime.GOMAXPROCS(0)); all > 0 {
		c.share = (c.share + (s[spent].Value.Float64()-c.spent)/all) / 2
	}
	rate := float64(s[made].Value.Uint64()-c.made) / max(took, tendEvery.Seconds())
	c.spent, c.made, c.at = s[spent].Value.Float64(), s[made].Value.Uint64(), now
	if room := roomFor(s[live].Value.Uint64(), c.room, c.share); max(room-c.room, c.room-room) > c.room/16 {
		c.room = room
		debug.SetGCPercent(room)
	}
	if rests(s[live].Value.Uint64(), s[held].Value.Uint64()+s[free].Value.Uint64(), rate) {
		debug.FreeOSMemory()
	}
}

// rests reports whether a heap of so many live bytes, which takes so many in all, must be given back as far as it can be. rate is how
// many bytes a second the daemon allocates.
func rests(live, takes uint64, rate float64) bool {
	return rate < restRate && takes > live+max(restLoose, live/restPart)
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
