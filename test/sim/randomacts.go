package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// room gives many random days a small limit, so that the gate closes.
func (d *day) room() {
	rng := d.whims
	if rng.IntN(2) == 0 {
		d.line("config queue.max_messages = %d", pick(rng, 20, 60, 200))
	}
	if rng.IntN(3) > 0 {
		return
	}
	d.line("config gate.hold = %q", pick(rng, "0s", "1s", "25s"))
	d.line("config gate.max_held = %d", pick(rng, 0, 2, 100))
	d.line("config gate.max_drain = %q", pick(rng, "0s", "1m", "1h"))
	if rng.IntN(3) == 0 {
		d.line("config gate.overflow = \"tempfail\"")
	} else if rng.IntN(3) == 0 {
		d.line("config gate.max_overflow = 5")
	}
}

// acts are the orders of an admin. What holds mail up is ended in the end.
func (d *day) acts(sites, sources int) {
	rng := d.whims
	for range rng.IntN(25) {
		at := time.Duration(rng.Int64N(int64(calm))).Round(time.Millisecond)
		after := at + time.Duration(rng.Int64N(int64(2*time.Hour)))
		some := pick(rng, fmt.Sprintf("domain=s%d.test", rng.IntN(sites)), fmt.Sprintf("site=mx.s%d.test", rng.IntN(sites)), "sender=sender.test", "sender=t0.test",
			fmt.Sprintf("campaign=src%d.sender.test", rng.IntN(sources)))
		old := pick(rng, "", " older=5m", " older=2h")
		switch rng.IntN(9) {
		case 0, 1:
			d.line("at %s pull hold %s%s", at, some, old)
			d.line("at %s pull release %s", after, some)
		case 2:
			d.line("at %s pull hold", at)
			d.line("at %s pull release", after)
		case 3, 4:
			d.line("at %s pull pause %s%s", at, some, pick(rng, "", " until=1m", " until=2h"))
			d.line("at %s pull resume %s", after, some)
		case 5:
			d.line("at %s pull flush %s", at, some)
		case 6:
			d.line("at %s pull %s %s%s", at, pick(rng, "bounce", "handback"), some, old)
		case 7:
			d.line("at %s pull delete %s%s", at, some, old)
		case 8:
			d.line("at %s pull drain%s", at, pick(rng, "", " until=1s", " until=1h"))
			d.line("at %s pull undrain", after)
		}
	}
	for _, end := range []string{"release", "resume", "undrain"} {
		d.line("at %s pull %s", calm+2*time.Hour, end)
	}
}

// refusals are the times in which a receiver refuses the sender of a campaign, which the daemon then stops there. An admin may resume it
// while it is still refused; the last order of acts resumes all.
func (d *day) refusals(seed uint64, sites, sources int) {
	rng := rand.New(rand.NewPCG(seed, 6)) // for the same reason as whims
	if rng.IntN(2) == 0 {
		return
	}
	d.line("config stop.after = %d", pick(rng, 1, 5, 20))
	for range 1 + rng.IntN(5) {
		at := time.Duration(rng.Int64N(int64(calm))).Round(time.Millisecond)
		site, source := rng.IntN(sites), rng.IntN(sources)
		d.line("at %s s%d.test unauth=src%d%s", at, site, source, pick(rng, "", " conns=2", " dot=30s", " slow"))
		d.line("at %s s%d.test fast", at+time.Duration(rng.Int64N(int64(4*time.Hour))), site)
		if rng.IntN(2) == 0 {
			d.line("at %s pull resume campaign=src%d.sender.test", at+time.Duration(rng.Int64N(int64(4*time.Hour))), source)
		}
	}
}

// newWhims is the chance of acts and of the room. It is another than the rest of the day's: a day with the same seed is otherwise what it was
// before there were acts.
func newWhims(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 4)) }
