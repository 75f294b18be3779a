package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// plant is a daemon as far as sources are concerned: sources, a state on a disk, and the receivers, who count by themselves.
type plant struct {
	t       testing.TB
	cfg     []SourceConfig
	zone    *time.Location
	now     time.Time
	sources *Sources

	mu     sync.Mutex
	disk   []byte
	broken bool           // the disk takes nothing
	moody  func() bool    // a write fails; nil: never
	deaf   func() bool    // a write fails all the same once it is durable; nil: never
	writes int            // that Spend waited for
	sent   map[string]int // "a gmail 2026-12-01": recipients that the provider has seen
}

func newPlant(t testing.TB, zone *time.Location, now time.Time, cfg ...SourceConfig) *plant {
	p := &plant{t: t, cfg: cfg, zone: zone, now: now, sent: make(map[string]int)}
	p.start()
	return p
}

// start makes the sources from the file and from the disk.
func (p *plant) start() {
	p.t.Helper()
	s, err := CompileSources(p.cfg, smtp.Config{})
	if err != nil {
		p.t.Fatal(err)
	}
	s.zone = p.zone
	if err := s.Recall(p.disk, nil, p.now); err != nil {
		p.t.Fatal(err)
	}
	s.KeepWith(func(state []byte) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.writes++
		return p.keep(state)
	})
	p.sources = s
}

// keep is a write. The mutex is held.
func (p *plant) keep(state []byte) error {
	if p.broken || p.moody != nil && p.moody() {
		return errors.New("no space left")
	}
	p.disk = state
	if p.deaf != nil && p.deaf() {
		return errors.New("the directory cannot be synced")
	}
	return nil
}

// lost is a write that becomes durable and fails all the same: the rename was done, and the sync of the directory says no. No
// other write may be under way: the sources never have two, and the older of them would take the place of the newer.
func (p *plant) lost() {
	p.sources.mu.Lock()
	state := p.sources.offer(dayOf(p.now, p.zone)).encode()
	p.sources.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.keep(state) // it may also simply fail
}

// kill is kill -9 and the next start.
func (p *plant) kill() { p.start() }

// stop is a clean stop and the next start.
func (p *plant) stop() {
	_ = p.sources.Conclude(p.now) // a failure is one of the cases
	p.start()
}

// send has recipients tried at the provider, and returns the source: "" when the MTA gets the mail.
func (p *plant) send(provider string, recipients int) string {
	src, ok := p.sources.ChooseFor(nil, provider, true, true, recipients, p.now)
	if !ok || !src.Spend(provider, recipients, p.now) {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent[fmt.Sprintf("%s %s %s", src.Name(), provider, p.now.In(p.zone).Format(time.DateOnly))] += recipients
	return src.Name()
}

// from counts by which source each of n single recipients goes.
func (p *plant) from(provider string, n int) map[string]int {
	count := make(map[string]int)
	for range n {
		count[p.send(provider, 1)]++
	}
	return count
}

// TestNeverAbovePlan: over two weeks with random mail, kills, clean stops, writes that fail, clock steps, reloads and visits
// put back, no provider ever sees more in a day than the plan says, and every message goes somewhere at once.
func TestNeverAbovePlan(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	start := day(t, "2026-03-05") // the clock goes forward on the 8th
	general, gmail := []int{8, 50, 100, 200, 400, 800}, []int{1, 3, 40, 40, 500}
	limits := map[string]Warmup{"gmail": {Start: start, Plan: gmail}, "yahoo": {Start: start, Plan: general}, "web": {Start: start, Plan: general}}
	warming := warmingOf("new", 1, start, general...)
	warming.Warmup = append(warming.Warmup, Warmup{Start: start, Plan: gmail, Providers: []string{"gmail"}})
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 0))
		p := newPlant(t, newYork, time.Date(2026, 3, 4, 20, 0, 0, 0, newYork), warming, sourceOf("warm", 2))
		p.moody = func() bool { return rng.IntN(4) == 0 }
		for range 400 {
			p.step(rng, warming)
		}
		for key, n := range p.sent {
			part := strings.Fields(key)
			w := limits[part[1]]
			if limit := w.limit(day(t, part[2])); part[0] == "new" && n > limit {
				t.Fatalf("seed %d: %s had %d, the plan is %d", seed, key, n, limit)
			}
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(p.sent)), func(key string) bool { return strings.HasPrefix(key, "new ") }) {
			t.Fatalf("seed %d: the source in warm-up never sent: %v", seed, p.sent)
		}
	}
}

// step is one random thing.
func (p *plant) step(rng *rand.Rand, warming SourceConfig) {
	provider := []string{"gmail", "yahoo", "web"}[rng.IntN(3)]
	switch rng.IntN(16) {
	case 0:
		p.kill()
	case 1:
		p.stop()
	case 2, 3:
		p.lost()
	case 4, 5:
		p.now = p.now.Add(time.Duration(rng.IntN(300)) * time.Minute)
	case 6:
		p.now = p.now.Add(-time.Duration(rng.IntN(120)) * time.Minute)
	case 7:
		p.cfg = [][]SourceConfig{{warming, sourceOf("warm", 2)}, {sourceOf("warm", 2)}}[rng.IntN(2)]
		if err := p.sources.Reload(p.cfg); err != nil {
			p.t.Fatal(err)
		}
	case 8:
		if src, ok := p.sources.Choose([]string{"new"}, provider, true, true, p.now); ok && src.Spend(provider, 1, p.now) {
			src.Unspend(provider, 1, p.now)
		}
	default:
		for range rng.IntN(30) {
			p.send(provider, 1+rng.IntN(5))
		}
	}
}

// TestSpendTogether: many connections spend one plan, with writes that fail, and the state on the disk
// is never behind them.
func TestSpendTogether(t *testing.T) {
	p := newPlant(t, time.UTC, noon, warmingOf("new", 1, day(t, "2026-12-01"), 200))
	n := 0
	p.moody = func() bool { n++; return n%5 == 4 }
	p.deaf = func() bool { return n%5 == 2 }
	var agents sync.WaitGroup
	for range 8 {
		agents.Go(func() {
			for range 50 {
				if p.send("gmail", 1) == "" {
					continue
				}
				p.mu.Lock()
				var state keptState
				err := json.Unmarshal(p.disk, &state)
				if sent := p.sent["new gmail 2026-12-01"]; err != nil || len(state.Books) == 0 || sent > state.upTo("gmail", day(t, "2026-12-01")) {
					t.Errorf("%d sent, and the disk says %s %v", sent, p.disk, err)
				}
				p.mu.Unlock()
			}
		})
	}
	agents.Wait()
	if sent := p.sent["new gmail 2026-12-01"]; sent > 200 || sent == 0 {
		t.Errorf("%d sent", sent)
	}
	if c := p.sources.list[0].book.page(day(t, "2026-12-01")).countOf("gmail"); c.waiting != 0 {
		t.Errorf("%d recipients wait for a block that nobody wants", c.waiting)
	}
}

// upTo is what a start would take for spent by the first source.
func (k *keptState) upTo(provider string, day Day) int {
	for _, p := range k.Books[0].Pages {
		if n, ok := p.Spent[provider]; ok && p.Day == day {
			return n
		}
		if p.Day == day {
			return p.Others
		}
	}
	return k.Books[0].Ahead
}

// FuzzRecall: whatever stands in the state, nothing is spent above the plan.
func FuzzRecall(f *testing.F) {
	f.Add([]byte(`{"version":1,"books":[{"name":"new","address":"192.0.2.1","ahead":7,"pages":[{"day":"2026-12-01","others":7,"spent":{"gmail":9}}]}]}`))
	f.Add([]byte(`{"version":1,"books":[{"name":"new","address":"192.0.2.1","ahead":-7,"pages":[{"day":"2026-12-01","others":9223372036854775807,"spent":{"gmail":-9}}]}]}`))
	f.Add([]byte(`{"version":1,"books":[{"pages":[{},{"day":"2026-12-01"},{"day":"2026-12-02"},{"day":"2026-12-03"}]}]}`))
	f.Fuzz(func(t *testing.T, kept []byte) {
		s, err := CompileSources([]SourceConfig{warmingOf("new", 1, day(t, "2026-12-01"), 50)}, smtp.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s.zone = time.UTC
		_ = s.Recall(kept, nil, noon) // a refusal is one of the cases
		s.KeepWith(func([]byte) error { return nil })
		n := 0
		for range 60 {
			if src, ok := s.Choose(nil, "gmail", true, true, noon); ok && src.Spend("gmail", 1, noon) {
				n++
			}
		}
		if n > 50 {
			t.Errorf("%d of 50", n)
		}
		s.View(noon)
	})
}

// FuzzDay: a day is read as it is written.
func FuzzDay(f *testing.F) {
	for _, text := range []string{"2026-12-01", "1969-12-31", "0000-02-29", "2026-12-1", "2026-02-30", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d Day
		if err := d.UnmarshalText([]byte(text)); err == nil && d.String() != text {
			t.Errorf("%q is %s", text, d)
		}
	})
}
