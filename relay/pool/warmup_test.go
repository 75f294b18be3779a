package pool

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// day reads a day.
func day(t testing.TB, text string) (d Day) {
	t.Helper()
	if err := d.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return d
}

// warmingOf is a source with the address 192.0.2.n and a plan for every provider by itself.
func warmingOf(name string, n byte, start Day, plan ...int) SourceConfig {
	c := sourceOf(name, n)
	c.Warmup = []Warmup{{Start: start, Plan: plan}}
	return c
}

// TestWarmupForTenDays: the plan is used to its last recipient and never above, over clean restarts; the rest goes by the
// warm source at once.
func TestWarmupForTenDays(t *testing.T) {
	plan := []int{50, 100, 200, 400, 800, 1600, 3200, 6400}
	start := day(t, "2026-12-01")
	p := newPlant(t, time.UTC, noon.AddDate(0, 0, -1), warmingOf("new", 1, start, plan...), sourceOf("warm", 2))
	for i := -1; i < 9; i++ {
		want := map[string]int{"warm": 10_000}
		switch {
		case i >= len(plan):
			want = map[string]int{"warm": 5000, "new": 5000}
		case i >= 0:
			want = map[string]int{"warm": 10_000 - min(plan[i], 5000), "new": min(plan[i], 5000)}
		}
		got := p.from("gmail", 100)
		p.stop()
		for name, n := range p.from("gmail", 9_900) {
			got[name] += n
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("day %d: %v, want %v", i+1, got, want)
		}
		p.stop()
		p.now = p.now.AddDate(0, 0, 1)
	}
}

// TestWarmupOverKills: a kill never lets a plan be exceeded, and wastes at most a block. Nothing waits: what the plan has no
// room for goes to the MTA at once.
func TestWarmupOverKills(t *testing.T) {
	p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 80))
	const block = 80 / blocksPerDay
	for i := range 3 {
		if got := p.from("gmail", 10)["new"]; got != 10 {
			t.Errorf("after %d kills: %d of 10", i, got)
		}
		p.kill()
	}
	total := 30 + p.from("gmail", 1000)["new"]
	if total > 80 || total < 80-3*block {
		t.Errorf("%d recipients in a day of 80, with three kills", total)
	}
	p.kill()
	if got := p.from("gmail", 100); !reflect.DeepEqual(got, map[string]int{"": 100}) {
		t.Errorf("after the plan was used up: %v", got)
	}
	// A provider of whom the state says nothing may have had a block before each kill.
	if got := p.from("yahoo", 100)["new"]; got > 80 || got < 80-4*block {
		t.Errorf("another provider had %d", got)
	}
}

// TestKillBehindMidnight: what the new day has used before its first write counts after a kill.
func TestKillBehindMidnight(t *testing.T) {
	p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 80, 80))
	p.from("gmail", 1)
	p.now = noon.Add(12 * time.Hour)
	used := p.from("gmail", 10)["new"]
	if p.writes > 1 || used != 10 {
		t.Fatalf("%d used, %d writes: the test tests nothing", used, p.writes)
	}
	p.kill()
	p.lost()
	if used += p.from("gmail", 100)["new"]; used > 80 {
		t.Errorf("%d in a day of 80", used)
	}
}

// TestKillOfTheNextDay: what an earlier process had ahead is not for the days of this one.
func TestKillOfTheNextDay(t *testing.T) {
	p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 80, 80))
	p.from("gmail", 1)
	p.kill()
	p.lost()
	p.now = noon.AddDate(0, 0, 1)
	used := p.from("gmail", 10)["new"]
	p.kill()
	if used += p.from("gmail", 100)["new"]; used > 80 {
		t.Errorf("%d in a day of 80", used)
	}
}

// TestKillBehindReload: a smaller plan for a while does not make the kept state say less than what may be spent by a larger
// one that comes back.
func TestKillBehindReload(t *testing.T) {
	large, small := warmingOf("new", 1, day(t, "2026-12-01"), 80, 80), warmingOf("new", 1, day(t, "2026-12-01"), 5, 5)
	for _, tomorrow := range []bool{false, true} {
		p := newPlant(t, time.UTC, noon, large)
		p.from("gmail", 1)
		if tomorrow {
			p.now = noon.Add(12 * time.Hour)
		}
		used := make(map[string]int)
		use := func(cfg SourceConfig, providers ...string) {
			t.Helper()
			if err := p.sources.Reload([]SourceConfig{cfg}); err != nil {
				t.Fatal(err)
			}
			for _, provider := range providers {
				used[provider] += p.from(provider, 3)["new"]
			}
		}
		use(small, "yahoo")
		p.lost()
		use(large, "yahoo", "yahoo", "web", "web", "web")
		if p.writes > 1 {
			t.Fatal("the test tests nothing")
		}
		p.kill()
		for provider, n := range used {
			if n += p.from(provider, 100)["new"]; n > 80 {
				t.Errorf("tomorrow %t: %s had %d in a day of 80", tomorrow, provider, n)
			}
		}
	}
}

// TestStartsWasteNothing: starts that send nothing, however often and however they end, do not use up the plan.
func TestStartsWasteNothing(t *testing.T) {
	p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 80))
	used := p.from("gmail", 10)["new"]
	for range 50 {
		p.kill()
		p.stop()
	}
	if used += p.from("gmail", 100)["new"]; used > 80 || used < 70 {
		t.Errorf("%d in a day of 80", used)
	}
}

// TestConcludeBehindAWrite: the exact state is the last one that is written, and a write that hangs is not waited for.
func TestConcludeBehindAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sourcesFrom(t, warmingOf("new", 1, day(t, "2026-12-01"), 80))
		hung := make(chan struct{})
		s.KeepWith(func([]byte) error { <-hung; return nil })
		spent := make(chan bool, 1)
		go func() { spent <- s.list[0].Spend("gmail", 1, noon) }()
		synctest.Wait()
		if err := s.Conclude(noon); err != errUnkept {
			t.Errorf("%v", err)
		}
		if <-spent {
			t.Error("spent without a block")
		}
		close(hung)
	})
}

// TestWarmupWritesSeldom: a write for each block, and none for each recipient or provider.
func TestWarmupWritesSeldom(t *testing.T) {
	p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 800))
	p.from("gmail", 800)
	if p.writes > blocksPerDay {
		t.Errorf("%d writes for a day's plan", p.writes)
	}
	p.writes = 0
	for i := range 1000 {
		p.from(fmt.Sprint("site", i), 100)
	}
	if p.writes > 1 {
		t.Errorf("%d writes for the first block of 1000 providers", p.writes)
	}
}

// TestUnkeptIsNotSpent: without a durable state there is no block, and a disk that works again gives one.
func TestUnkeptIsNotSpent(t *testing.T) {
	p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 80))
	p.broken = true
	if got := p.send("gmail", 1); got != "" {
		t.Errorf("sent by %q", got)
	}
	p.broken = false
	if got := p.send("gmail", 1); got != "new" {
		t.Errorf("sent by %q", got)
	}
	p.broken = true
	if got := p.from("gmail", 79)["new"]; got != 10 {
		t.Errorf("%d of the 10 of a block", got)
	}
}

// TestMidnight: the day is the calendar's, by this host's clock, in winter and when the clock changes.
func TestMidnight(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	start := day(t, "2026-10-25") // has 25 hours in Berlin
	p := newPlant(t, berlin, time.Date(2026, 10, 24, 23, 59, 59, 0, berlin), warmingOf("new", 1, start, 10, 20))
	use := func(at time.Time) int {
		p.now = at
		return p.from("gmail", 100)["new"]
	}
	for _, test := range []struct {
		at   time.Time
		want int
	}{
		{p.now, 0}, // the plan begins tomorrow
		{time.Date(2026, 10, 25, 0, 0, 0, 0, berlin), 10},
		{time.Date(2026, 10, 25, 0, 0, 0, 0, berlin).Add(24*time.Hour + 59*time.Minute), 0}, // 23:59, the 25th hour
		{time.Date(2026, 10, 26, 0, 0, 0, 0, berlin), 20},
		{time.Date(2026, 10, 26, 22, 59, 59, 0, time.UTC), 0}, // 23:59:59 in Berlin, whatever zone the time is given in
		{time.Date(2026, 10, 26, 23, 0, 0, 0, time.UTC), 100}, // midnight: the plan is over
		{time.Date(2026, 10, 26, 23, 59, 0, 0, berlin), 0},    // a clock that is set back over midnight
		{time.Date(2026, 10, 25, 12, 0, 0, 0, berlin), 0},     // and further
		{time.Date(2026, 10, 26, 23, 0, 0, 0, time.UTC), 100}, // and right again
	} {
		if got := use(test.at); got != test.want {
			t.Errorf("at %s: %d, want %d", test.at, got, test.want)
		}
	}
}

// TestSpendAndUnspend: what was not tried does not count, on the day of Spend.
func TestSpendAndUnspend(t *testing.T) {
	p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 50, 50))
	src, _ := p.sources.Choose(nil, "gmail", true, true, noon)
	tomorrow := noon.AddDate(0, 0, 1)
	if src.Spend("gmail", 51, noon) || !src.Spend("gmail", 50, noon) || src.Spend("gmail", 1, noon) {
		t.Error("a plan of 50")
	}
	if _, ok := p.sources.Choose(nil, "gmail", true, true, noon); ok {
		t.Error("chosen with nothing left")
	}
	src.Unspend("gmail", 20, noon)
	if _, ok := p.sources.ChooseFor(nil, "gmail", true, true, 21, noon); ok {
		t.Error("chosen for more than is left")
	}
	if src.Spend("gmail", 21, noon) || !src.Spend("gmail", 20, noon) || !src.Spend("gmail", 50, tomorrow) {
		t.Error("20 of them were not tried")
	}
	src.Unspend("gmail", 50, noon) // put back behind midnight
	if src.Spend("gmail", 1, tomorrow) {
		t.Error("what was put back yesterday counts today")
	}
	src.Unspend("gmail", 5, noon.AddDate(0, 0, -9))
	src.Unspend("nobody", 5, noon)
}

// TestPlansByProvider: each provider is counted by itself, those with a plan of their own by that.
func TestPlansByProvider(t *testing.T) {
	c := warmingOf("new", 1, day(t, "2026-12-01"), 50)
	c.Warmup = append(c.Warmup, Warmup{Start: c.Warmup[0].Start, Plan: []int{10}, Providers: []string{"gmail", "yahoo"}})
	p := newPlant(t, time.UTC, noon, c)
	got := make(map[string]int)
	for _, provider := range []string{"gmail", "yahoo", "mx.example", "mx2.example"} {
		got[provider] = p.from(provider, 100)["new"]
	}
	if want := map[string]int{"gmail": 10, "yahoo": 10, "mx.example": 50, "mx2.example": 50}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	c.Warmup = c.Warmup[1:]
	p = newPlant(t, time.UTC, noon, c)
	if got := p.from("mx.example", 1000)["new"]; got != 1000 {
		t.Errorf("a provider that no plan names had %d", got)
	}
}

// TestCountersOverReload: a source that goes and comes back the same day has spent what it has. With another address it is
// another source.
func TestCountersOverReload(t *testing.T) {
	warming := warmingOf("new", 1, day(t, "2026-12-01"), 50)
	p := newPlant(t, time.UTC, noon, warming)
	p.from("gmail", 30)
	reload := func(list ...SourceConfig) {
		t.Helper()
		if err := p.sources.Reload(list); err != nil {
			t.Fatal(err)
		}
		p.cfg = list
	}
	reload(sourceOf("warm", 2))
	p.lost()
	p.kill()
	p.lost()
	p.stop()
	reload(warming)
	if got := p.from("gmail", 50)["new"]; got > 20 || got < 20-7 {
		t.Errorf("%d of the 20 that are left", got)
	}
	moved := warming
	moved.Address = sourceOf("", 9).Address
	reload(moved)
	if got := p.from("gmail", 100)["new"]; got != 50 {
		t.Errorf("from a new address: %d", got)
	}
	raised := moved
	raised.Warmup = []Warmup{{Start: warming.Warmup[0].Start, Plan: []int{70}}}
	reload(raised)
	if got := p.from("gmail", 100)["new"]; got != 20 {
		t.Errorf("a plan raised by 20 at noon: %d", got)
	}
}

// TestRecallOfGarbage: with a state that cannot be read, nobody knows what was spent today.
func TestRecallOfGarbage(t *testing.T) {
	for _, kept := range []string{"", "{", `{"version":2}`, `[]`} {
		p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 50, 50))
		if err := p.sources.Recall([]byte(kept), nil, noon); err == nil {
			t.Errorf("%s: no error", kept)
		}
		if err := p.sources.Reload([]SourceConfig{warmingOf("newer", 2, day(t, "2026-12-01"), 50, 50)}); err != nil {
			t.Fatal(err)
		}
		if got := p.from("gmail", 10); got[""] != 10 {
			t.Errorf("%s: %v", kept, got)
		}
		p.now = noon.AddDate(0, 0, 1)
		if got := p.from("gmail", 100); got["newer"] != 50 {
			t.Errorf("%s: the next day %v", kept, got)
		}
	}
}

// TestProvidersAreBounded: the memory for providers has an end, and the plan holds beyond it.
func TestProvidersAreBounded(t *testing.T) {
	s := sourcesFrom(t, warmingOf("new", 1, day(t, "2026-12-01"), 5))
	src, _ := s.Choose(nil, "gmail", true, true, noon)
	for i := range maxCounts {
		if !src.Spend(fmt.Sprint("site", i), 1, noon) {
			t.Fatal("refused", i)
		}
	}
	if src.Spend("one more", 1, noon) || !src.Spend("site7", 1, noon) {
		t.Error("beyond the bound")
	}
}

func TestSourcesView(t *testing.T) {
	c := warmingOf("new", 1, day(t, "2026-12-01"), 50)
	c.Warmup = append(c.Warmup, Warmup{Start: c.Warmup[0].Start + 4, Plan: []int{10}, Providers: []string{"yahoo"}})
	p := newPlant(t, time.UTC, noon, c, sourceOf("warm", 2))
	src, _ := p.sources.Choose([]string{"new"}, "gmail", true, true, noon)
	src.Spend("gmail", 50, noon)
	got, err := json.Marshal(p.sources.View(noon))
	want := `[{"name":"new","address":"192.0.2.1","weight":1,"warming":[` +
		`{"provider":"","plan":50,"spent":0},{"provider":"gmail","plan":50,"spent":50},{"provider":"yahoo","plan":0,"spent":0}]},` +
		`{"name":"warm","address":"192.0.2.2","weight":1}]`
	if err != nil || string(got) != want {
		t.Errorf("%s %v", got, err)
	}
	for _, test := range []struct {
		names      []string
		provider   string
		has4, has6 bool
		want       string
	}{
		{[]string{"new"}, "gmail", true, true, "no source can send to gmail now: new has spent 50 of the 50 recipients of its warm-up until midnight"},
		{[]string{"new"}, "yahoo", true, true, "no source can send to yahoo now: new begins its warm-up on 2026-12-05"},
		{nil, "yahoo", false, true, "no source can send to yahoo now: new has no address of the receiver's family, warm has no address of the receiver's family"},
		{[]string{"gone"}, "yahoo", true, true, "no source may send this mail"},
	} {
		if got := p.sources.Lacking(test.names, test.provider, test.has4, test.has6, noon); got != test.want {
			t.Errorf("%q\nwant %q", got, test.want)
		}
	}
}
