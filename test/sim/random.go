package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// randomDay makes the scenario of one random day: receivers with moods that change, sources, orders of an admin, and all that goes wrong. The last
// hours are calm: the receivers take mail, so that a message that is stuck shows. Its text can be printed and kept as a file, so
// that a day that found something becomes a scenario.
func randomDay(seed uint64) (name, text string) {
	d := &day{rng: rand.New(rand.NewPCG(seed, 2)), whims: newWhims(seed), ways: rand.New(rand.NewPCG(seed, 5))}
	d.line("title a random day, seed %d", seed)
	d.line("config retry.lifetime = %q", pick(d.rng, "3h", "12h", "48h"))
	d.line("config queue.channels = %d", pick(d.rng, 5, 20, 500))
	if d.rng.IntN(4) == 0 {
		d.line("config queue.order = %q", pick(d.rng, "longest", "longest-aged"))
	}
	if d.rng.IntN(6) == 0 {
		d.line("config ack = \"written\"") // a power cut may lose mail then: such a day has none
		d.gentle = true
	}
	d.room()
	sites := 1 + d.rng.IntN(6)
	d.tables(sites)
	for i := range sites {
		d.line("site s%d.test %s domains=%d latency=%dms", i, d.mood(), pick(d.rng, 1, 1, 3, 20), pick(d.rng, 1, 10, 50, 200))
	}
	if d.ways.IntN(3) == 0 {
		at := time.Duration(d.ways.Int64N(int64(calm))).Round(time.Millisecond)
		d.line("at %s reinject %s", at, pick(d.ways, "dead", "defer", "silent"))
		d.line("at %s reinject fast", at+time.Duration(d.ways.Int64N(int64(2*time.Hour))))
	}
	sources := 3 + d.rng.IntN(8)
	for i := range sources {
		d.source(i, sites)
	}
	for range 5 + d.rng.IntN(40) {
		d.trouble(sites)
	}
	d.acts(sites, sources)
	d.refusals(seed, sites, sources)
	d.repair(sites)
	d.line("run 24h")
	return fmt.Sprintf("random-%d", seed), d.text.String()
}

// day is a random day in the making.
type day struct {
	rng    *rand.Rand
	whims  *rand.Rand
	ways   *rand.Rand // by which doors the sources come: another than the rest of the day's, for the same reason as whims
	text   strings.Builder
	gentle bool // no power cut
}

func (d *day) line(format string, args ...any) { fmt.Fprintf(&d.text, format+"\n", args...) }

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// calm is when the trouble is over.
const calm = 16 * time.Hour

// when is a random moment before the calm.
func (d *day) when() time.Duration {
	return time.Duration(d.rng.Int64N(int64(calm))).Round(time.Millisecond)
}

// mood is one of all moods. Half of the receivers are well.
func (d *day) mood() string {
	if d.rng.IntN(2) == 0 {
		return "fast"
	}
	return pick(d.rng, "conns=2", "conns=5 delay=50ms", "rate=5", "rate=20 hang", "grey=5m", "rcpts=3", "perconn=4", "defer", "refuse",
		"silent", "dead", "slow", "tarpit", "dribble=200ms", "dot=30s", "flap=10m/5m", "flap=2h/1h conns=3", "conns=3 each", "rate=2 each hang", "conns=1 delay=2s", "rate=0.2", "perconn=1 conns=2",
		"rate=5 conns=2 delay=100ms")
}

func (d *day) source(i, sites int) {
	var to []string
	for s := range sites {
		if d.rng.IntN(2) == 0 || s == i%sites {
			to = append(to, fmt.Sprintf("s%d.test", s))
		}
	}
	extra := pick(d.rng, "", "", " sender=t0.test", " sender=t1.test", " header=X-Lane:urgent")
	extra += pick(d.ways, "", "", "", " door=filter", " door=lmtp", " door=proxy", " door=submission")
	d.line("source src%d to=%s count=%d rate=%g rcpts=%d size=%d start=%s sessions=%d%s", i, strings.Join(to, ","), 20+d.rng.IntN(150),
		pick(d.rng, 0.02, 0.2, 2, 50), pick(d.rng, 1, 1, 1, 2, 15), pick(d.rng, 100, 2000, 40_000), d.when(), pick(d.rng, 1, 4, 20), extra)
}

// trouble is one thing that goes wrong; what does not end by itself ends after a while.
func (d *day) trouble(sites int) {
	at, site := d.when(), fmt.Sprintf("s%d.test", d.rng.IntN(sites))
	after := at + time.Duration(d.rng.Int64N(int64(2*time.Hour)))
	pause := pick(d.rng, "0s", "1s", "1m", "20m")
	switch n := d.rng.IntN(18); {
	case n < 3:
		d.line("at %s %s %s", at, site, d.mood())
	case n < 5:
		d.line("at %s crash %s %s", at, d.death(), pause)
	case n == 5:
		d.line("at %s restart %s", at, pause)
	case n < 8:
		d.line("at %s dns %s", at, pick(d.rng, "down", "servfail"))
		d.line("at %s dns up", after)
	case n == 8:
		d.line("at %s %s reset", at, site)
	case n == 9:
		d.line("at %s mta reset", at)
	case n == 10:
		d.line("at %s mta %s", at, pick(d.rng, "defer", "dead", "silent", "cut"))
		d.line("at %s mta heal", after)
		d.line("at %s mta fast", after)
	case n == 11:
		d.line("at %s %s cut", at, site)
		d.line("at %s %s heal", after, site)
	case n == 12:
		d.line("at %s disk %s", at, pick(d.rng, "full", "faulty"))
		d.line("at %s disk well", at+time.Duration(d.rng.Int64N(int64(10*time.Minute))))
	case n == 13:
		d.line("at %s reload without tables", at)
	default:
		d.line("at %s reload %s", at, pick(d.rng, "pool.connections_per_site = 3", `retry.schedule = ["1m", "30m"]`, "pool.idle = \"1s\"", "pool.slice = 3",
			"pool.messages_per_connection = 2", `pool.closed_for = ["10s", "20m"]`))
	}
}

func (d *day) death() string {
	if d.gentle {
		return "kill"
	}
	return pick(d.rng, "power", "kill")
}

// repair ends all trouble.
func (d *day) repair(sites int) {
	d.line("at %s dns up", calm+2*time.Hour)
	d.line("at %s disk well", calm+2*time.Hour)
	d.line("at %s mta heal", calm+2*time.Hour)
	d.line("at %s mta fast", calm+2*time.Hour)
	for s := range sites {
		d.line("at %s s%d.test heal", calm+2*time.Hour, s)
		d.line("at %s s%d.test fast", calm+2*time.Hour, s)
	}
}
