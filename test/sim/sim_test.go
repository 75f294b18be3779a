package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden trace anew")

// TestScenarios runs every scenario. CI runs it; each takes seconds.
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
		{"twice", fate{verdict: taken, received: two}, false, "delivered 2 times and not named"},
		{"twice and named", fate{verdict: taken, received: two, named: true}, false, ""},
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
		"site a.test\nat noon crash", "site a.test\nexpect a.test received = lots", "title nothing happens",
	} {
		if _, err := parseScenario("wrong", text); err == nil || !strings.HasPrefix(err.Error(), "wrong:") {
			t.Errorf("%q: %v", text, err)
		}
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
