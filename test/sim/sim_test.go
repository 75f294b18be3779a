package main

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write the golden trace anew")

// TestMain gives the tests the days of package main.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

// TestNextScenarios: those that wait for what they show can be read.
func TestNextScenarios(t *testing.T) {
	paths, _ := filepath.Glob("scenarios/next/*.txt")
	for _, path := range paths {
		if _, err := readScenario(path); err != nil {
			t.Error(err)
		}
	}
}

// TestScenarios runs every scenario that takes seconds, and under the race detector some of them. CI runs it both ways.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("scenarios/*.txt")
	if err != nil || len(paths) < 7 {
		t.Fatalf("scenarios: %q, %v", paths, err)
	}
	for _, path := range paths {
		s, err := readScenario(path)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if s.large {
				t.Skip("it takes minutes; a small one beside it shows the same")
			}
			if underRace && s.slow {
				t.Skip("the race detector makes it take minutes, and the other scenarios go the same ways")
			}
			var text bytes.Buffer
			r := play(t, s, 1, options{})
			if r.print(&text); !r.OK {
				t.Errorf("%s", text.String())
			}
		})
	}
}

// TestRandomDays: five days of all that can go wrong. A day that fails can be looked at by "-random -days 1 -seed N -trace", and
// kept as a scenario by "-show".
func TestRandomDays(t *testing.T) {
	days := uint64(5)
	if underRace {
		days = 1 // each needs five times as long
	}
	for seed := uint64(1); seed <= days; seed++ {
		name, text := randomDay(seed)
		s := parsed(t, name, text)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := play(t, s, seed, options{}); !r.OK {
				t.Errorf("%q in\n%s", r.Violations, text)
			}
		})
	}
}

// TestSockets: the same world stands on this machine's sockets too. Whether the figures agree is for a human: a busy machine is
// slow, and a test must not fail for that.
func TestSockets(t *testing.T) {
	s := parsed(t, "sockets", `
		site   five.test conns=5 delay=20ms
		site   fast.test
		source news to=five.test,fast.test count=60 rate=40
		run    1m
		expect all received = 60`)
	real := &sockets{ports: make(map[string]string)}
	defer real.close()
	if r := play(t, s, 1, options{real: real}); !r.OK {
		t.Errorf("%q", r.Violations)
	}
}

// parsed is a scenario that is right.
func parsed(t *testing.T, name, text string) *Scenario {
	t.Helper()
	s, err := parseScenario(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGoldenTrace: what happens and when, to the millisecond, in a world with one message at a time. The file is written anew by
// -update; its diff is for a human to judge.
func TestGoldenTrace(t *testing.T) {
	var trace bytes.Buffer
	s := parsed(t, "golden", `
		config retry.jitter = 0
		config retry.schedule = ["5m"]
		site   first.test defer latency=40ms
		source news to=first.test count=2 sessions=1 rate=0.1
		at     4m  first.test fast
		run    1h
		expect first.test received = 2`)
	if r := play(t, s, 1, options{trace: &trace}); !r.OK {
		t.Fatalf("%q\n%s", r.Violations, trace.String())
	}
	const file = "testdata/golden.txt"
	if *update {
		if err := os.WriteFile(file, trace.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || trace.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s%v", trace.String(), want, err)
	}
}

// TestSeed: what the daemon leaves to chance, here by how much each wait is shorter or longer, is decided by the seed.
func TestSeed(t *testing.T) {
	s := parsed(t, "seed", "site a.test defer\nsource news to=a.test\nat 1h a.test fast\nrun 3h\nexpect a.test received = 1")
	var traces [3]bytes.Buffer
	for i, seed := range []uint64{1, 1, 2} {
		if r := play(t, s, seed, options{trace: &traces[i]}); !r.OK {
			t.Fatalf("%q", r.Violations)
		}
	}
	if traces[0].String() != traces[1].String() || traces[0].String() == traces[2].String() {
		t.Errorf("seed 1:\n%s\nagain:\n%s\nseed 2:\n%s", traces[0].String(), traces[1].String(), traces[2].String())
	}
}

// TestLyingDiskIsFound: on a disk that keeps nothing of what it was told to sync, mail that was taken is lost at a power cut. The
// ledger must say so, or it would not find a fault of the daemon's either.
func TestLyingDiskIsFound(t *testing.T) {
	s := parsed(t, "liar", `
		site   slow.test defer
		source news to=slow.test count=50 rate=50
		at     5s crash power 1s
		at     10s slow.test fast
		run    3h`)
	for seed := range uint64(3) { // a disk that happens to keep everything by itself loses nothing
		if r := play(t, s, seed, options{liar: true}); strings.Contains(strings.Join(r.Violations, " "), "lost: ") {
			return
		}
	}
	t.Error("no loss was found in three runs")
}

// TestUnnamedDuplicatesAreFound: a crash in the middle of deliveries leaves duplicates, which the mail log names. The ledger of a
// world that does not read the log must complain of them.
func TestUnnamedDuplicatesAreFound(t *testing.T) {
	s := parsed(t, "unnamed", `
		site   slow.test dot=10s
		source news to=slow.test count=50 rate=50
		at     15s crash kill 1s
		run    3h
		expect slow.test received = 50`)
	if r := play(t, s, 1, options{}); !r.OK || r.Figures["slow.test"]["twice"] == 0 {
		t.Fatalf("%q, %v delivered twice", r.Violations, r.Figures["slow.test"]["twice"])
	}
	if r := play(t, s, 1, options{deaf: true}); !strings.Contains(strings.Join(r.Violations, " "), "not named: ") {
		t.Errorf("only %q was found", r.Violations)
	}
}

// TestLeftGoroutineIsFound: the bubble sees who is left, and the run says so and goes on.
func TestLeftGoroutineIsFound(t *testing.T) {
	s := parsed(t, "leak", "site healthy.test\nsource news to=healthy.test\nrun 1m")
	r := play(t, s, 1, options{last: func() {
		forever := make(chan int)
		go func() { <-forever }()
	}})
	if !strings.Contains(strings.Join(r.Violations, " "), "blocked goroutines remain") {
		t.Errorf("%q", r.Violations)
	}
}

// TestVerdicts: the ledger's judgement about one recipient.
func TestVerdicts(t *testing.T) {
	once, two := []time.Time{{}}, []time.Time{{}, {}}
	for _, c := range []struct {
		name  string
		f     fate
		waits bool
		want  string
	}{
		{"received", fate{verdict: taken, received: once}, false, ""},
		{"returned", fate{verdict: taken, returned: 1}, false, ""},
		{"altered", fate{verdict: taken, received: once, altered: true}, false, "altered"},
		{"handed back", fate{verdict: taken, handedBack: 1}, false, ""},
		{"waits", fate{verdict: taken}, true, ""},
		{"lost", fate{verdict: taken}, false, "lost"},
		{"left", fate{verdict: left}, false, ""},
		{"left and received", fate{verdict: left, received: once}, false, "delivered although it was left with the MTA"},
		{"left and received and named", fate{verdict: left, received: once, named: true}, false, "delivered although it was left with the MTA"},
		{"undecided and received", fate{verdict: left, undecided: true, received: once}, false, "delivered although it was left with the MTA"},
		{"undecided, received, named", fate{verdict: left, undecided: true, received: once, named: true}, false, ""},
		{"twice", fate{verdict: taken, received: two}, false, "delivered 2 times and not named"},
		{"twice and named", fate{verdict: taken, received: two, named: true}, false, ""},
		{"told to come later", fate{verdict: told4xx}, false, ""},
		{"told to come later and received", fate{verdict: told4xx, received: once}, false, "delivered although the client was told to come later"},
		{"dropped and waits", fate{verdict: dropped, returned: 1}, false, "delivered although the client was told to come later"},
		{"unanswered", fate{}, false, ""},
		{"unanswered and received", fate{received: once}, false, "delivered beside the MTA's own copy, and not named"},
		{"unanswered, received, named", fate{received: once, named: true}, false, ""},
		{"received and waits", fate{verdict: taken, received: once}, true, "delivered, and still waiting"},
		{"received and returned", fate{verdict: taken, received: once, returned: 1}, false, "delivered and returned"},
		{"returned twice", fate{verdict: taken, returned: 2}, false, "returned 2 times"},
	} {
		if got := c.f.wrong(c.waits); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// TestScenarioErrors: a mistake in a scenario is named with its line.
func TestScenarioErrors(t *testing.T) {
	for _, text := range []string{
		"site a.test sleepy", "site a.test conns=many", "site a.test fast\nsource", "site a.test\nsource n colour=red", "sight a.test",
		"site a.test\nat noon crash", "site a.test\nexpect a.test received = lots",
		"site a.test\ngoal a.test received > 1", "site a.test\naddress home", "site a.test copies=two", "title nothing happens",
	} {
		if _, err := parseScenario("wrong", text); err == nil || !strings.HasPrefix(err.Error(), "wrong:") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestPhases: what a receiver could have taken, how much came, and how long it took to learn what it takes.
func TestPhases(t *testing.T) {
	s := parsed(t, "phases", "site a.test conns=5\nsite copy.test copies=2\nat 5m a.test cut\nat 6m a.test rate=1\nat 8m copy.test defer\nrun 10m")
	var got []string
	for _, l := range s.sites {
		for _, p := range s.phases(l) {
			got = append(got, fmt.Sprintf("%s %v-%v %v", l.name, p.from, p.to, p.mood.takes()))
		}
	}
	want := []string{"a.test 0s-6m0s true", "a.test 6m0s-10m0s true", "0.copy.test 0s-8m0s true", "0.copy.test 8m0s-10m0s false", "1.copy.test 0s-8m0s true", "1.copy.test 8m0s-10m0s false"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		name     string
		rate     func(i int) int32 // received in second i, of ten that are offered
		capacity float64
		share    float64
		learned  time.Duration
	}{
		{"at once", func(int) int32 { return 5 }, 5, 1, 0},
		{"half", func(int) int32 { return 5 }, 0, 0.5, 10 * time.Minute},
		{"after three minutes", func(i int) int32 { return int32(min(i/180, 1)) * 5 }, 5, 1, 3 * time.Minute},
		{"lost again", func(i int) int32 { return int32(1-i/540) * 5 }, 5, 0.8, 10 * time.Minute},
	} {
		p := phase{to: 10 * time.Minute, capacity: c.capacity}
		var x series
		for i := range 600 {
			x.of = append(x.of, second{offered: 10, received: c.rate(i)})
		}
		if !p.trim(&x, time.Hour) || p.share(&x) != c.share || p.learned(&x).Round(time.Minute) != c.learned {
			t.Errorf("%s: share %v, learned in %v", c.name, p.share(&x), p.learned(&x))
		}
	}
}

// TestCapacity: an ideal client brings what can be computed by hand.
func TestCapacity(t *testing.T) {
	for mood, want := range map[string]float64{
		"fast": 0, "rate=50": 50, "conns=5 delay=1s": 5.0 / 4, "conns=5 delay=1s rate=1": 1, "conns=4 delay=1s flap=1m/1m": 0.5, "conns=5 defer": 0,
	} {
		m, err := parseMood(strings.Fields(mood))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			if got := (&World{scenario: &Scenario{}}).measure(m, time.Microsecond); math.Abs(got-want) > want/100 {
				t.Errorf("%s: %v", mood, got)
			}
		})
	}
}

// TestCompare: figures that are far apart are found, but for those that are too small to say anything.
func TestCompare(t *testing.T) {
	memory := Result{Figures: map[string]map[string]float64{"a.test": {"attempts": 5, "received": 1000, "p99": 0.15}, "news": {"received": 1}}}
	real := Result{Figures: map[string]map[string]float64{"a.test": {"attempts": 7, "received": 1200, "p99": 0.1}, "news": {"received": 9}}}
	for _, g := range memory.compare(real).Goals {
		if missed := strings.HasPrefix(g.Figure, "a.test received "); g.Met == missed {
			t.Error(g)
		}
	}
}

// TestGoals: what is met, what is missed, and what makes a run fail.
func TestGoals(t *testing.T) {
	s := parsed(t, "goals", "row 2\nsite a.test\nexpect a.test share >= 95%\ngoal a.test refused <= 5%\nexpect a.test learned <= 2m\ngoal a.test nonsense = 0")
	goals, violations := s.judge(map[string]map[string]float64{"a.test": {"share": 0.94, "refused": 17, "refused_share": 0.05, "learned": 120}})
	ratio := aim{name: "a.test:b.test", figure: "taken"}
	if have, found := ratio.find(map[string]map[string]float64{"a.test": {"taken": 9}, "b.test": {"taken": 2}}); have != 4.5 || !found {
		t.Errorf("9 to 2 is %v, %v", have, found)
	}
	want := "missed  a.test share >= 95%: 94.00%\nmet     a.test refused_share <= 5%: 5.00%\nmet     a.test learned <= 2m: 120\nmissed  a.test nonsense = 0: 0\n"
	got := ""
	for _, g := range goals {
		got += g.String() + "\n"
	}
	if got != want || len(violations) != 1 || goals[0].Row != 2 {
		t.Errorf("%s%q", got, violations)
	}
}

// FuzzScenario: no text makes the parser panic.
func FuzzScenario(f *testing.F) {
	paths, _ := filepath.Glob("scenarios/*.txt")
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseScenario("fuzz", text); err == nil && len(s.sites) == 0 {
			t.Error("a scenario without a site")
		}
	})
}
