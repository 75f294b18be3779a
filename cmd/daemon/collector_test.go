package daemon

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestRoomFor(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name  string
		live  uint64
		had   int
		share float64
		want  int
	}{
		{"nothing lives", 0, 100, 0, 100},
		{"a small heap has all room", 20 * mb, 100, 0, 100},
		{"a larger one has the same bytes", 64 * mb, 100, 0, 50},
		{"a large one has a quarter", 128 * mb, 100, 0, 25},
		{"no less than a quarter", 64 << 30, 25, 0, 25},
		{"the collector is cheap", 1 << 30, 25, 0.04, 25},
		{"the collector takes twice its share", 1 << 30, 25, 0.1, 50},
		{"the room that it has is just enough", 1 << 30, 60, 0.05, 60},
		{"it needs less now", 1 << 30, 60, 0.025, 30},
		{"no more than the runtime gives", 1 << 30, 80, 0.25, 100},
		{"what a small heap has is not taken away", 32 * mb, 100, 0.01, 100},
	} {
		if got := roomFor(c.live, c.had, c.share); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestRests(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name        string
		live, takes uint64
		rate        float64
		want        bool
	}{
		{"mail waits, and a burst has left much", 1 << 30, 1300 * mb, 0, true},
		{"mail waits, and little is left", 1 << 30, 1080 * mb, 0, false},
		{"mail comes", 1 << 30, 1300 * mb, 20 * mb, false},
		{"little mail comes", 1 << 30, 1300 * mb, 1 * mb, true},
		{"a small heap", 10 * mb, 20 * mb, 0, true},
		{"nothing to speak of", 10 * mb, 15 * mb, 0, false},
	} {
		if got := rests(c.live, c.takes, c.rate); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestRestGivesBack: what a burst of mail has left goes back to the system when it is over, and not again and again.
func TestRestGivesBack(t *testing.T) {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nothing is collected by itself
	now := time.Now()
	c := &collector{room: mostRoom, at: now}
	burst := make([]byte, 64<<20)
	for i := range burst {
		burst[i] = 1
	}
	runtime.KeepAlive(burst)
	var before, after runtime.MemStats
	c.adjust(now.Add(tendEvery)) // the burst is not over
	runtime.ReadMemStats(&before)
	c.adjust(now.Add(2 * tendEvery))
	runtime.ReadMemStats(&after)
	if back := int64(after.HeapReleased) - int64(before.HeapReleased); back < 60<<20 {
		t.Errorf("%d MB were given back", back>>20)
	}
	n := after.NumGC
	for i := range 10 {
		c.adjust(now.Add(time.Duration(3+i) * tendEvery))
	}
	if runtime.ReadMemStats(&after); after.NumGC > n+1 {
		t.Errorf("%d more collections at rest", after.NumGC-n)
	}
}

// TestCollectorIsTold: the runtime has the room that the collector says it has.
func TestCollectorIsTold(t *testing.T) {
	was := debug.SetGCPercent(mostRoom)
	defer debug.SetGCPercent(was)
	now := time.Now()
	c := &collector{room: mostRoom, at: now}
	kept := make([]byte, 256<<20) // never touched: it takes no memory
	runtime.GC()
	for i := range 60 { // what the collector did before is soon forgotten
		c.adjust(now.Add(time.Duration(i) * tendEvery))
	}
	if is := debug.SetGCPercent(mostRoom); is != c.room || is == mostRoom {
		t.Errorf("the runtime has %d, the collector %d, of a heap of %d MB", is, c.room, len(kept)>>20)
	}
	runtime.KeepAlive(kept)
}
