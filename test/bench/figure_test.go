package main

import (
	"bytes"
	"encoding/json"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/sink"
)

func TestMain(m *testing.M) {
	if playRole() {
		return
	}
	if err := os.Chdir("../.."); err != nil { // as "go run ./test/bench" is started
		panic(err)
	}
	os.Exit(m.Run())
}

// TestQuick: the command works from end to end and prints every row as an object. Its figures mean nothing.
func TestQuick(t *testing.T) {
	var out bytes.Buffer
	for _, q := range []request{{what: "pace"}, {what: "gate", only: "room"}} {
		q.quick, q.figures = true, &sheet{out: &out, json: true}
		if err := q.run(); err != nil {
			t.Fatal(err)
		}
	}
	rows := make(map[int]int)
	for line := range strings.Lines(out.String()) {
		var f map[string]any
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		for _, key := range []string{"row", "figure", "value", "min", "max", "goal", "met"} {
			if _, ok := f[key]; !ok {
				t.Errorf("no %s in %s", key, line)
			}
		}
		rows[int(f["row"].(float64))]++
	}
	if rows[1] < 6 || rows[2] < 16 || rows[7] != 3 {
		t.Errorf("figures by row: %v\n%s", rows, &out)
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct {
		f    figure
		want string
	}{
		{atLeast(1, "a", 0.95, 0.95, ""), `{"row":1,"figure":"a","value":0.95,"min":0.95,"max":0.95,"goal":"at least 0.95","met":true}`},
		{atLeast(1, "a", 0.949, 0.95, ""), `{"row":1,"figure":"a","value":0.949,"min":0.949,"max":0.949,"goal":"at least 0.95","met":false}`},
		{atMost(2, "b", 2, 2, "n"), `{"row":2,"figure":"b","value":2,"min":2,"max":2,"goal":"at most 2","met":true,"note":"n"}`},
		{atMost(2, "b", 2.1, 2, ""), `{"row":2,"figure":"b","value":2.1,"min":2.1,"max":2.1,"goal":"at most 2","met":false}`},
		{atMost(2, "b", math.NaN(), 2, ""), `{"row":2,"figure":"b","value":null,"min":null,"max":null,"goal":"at most 2","met":false,"reason":"nothing was measured"}`},
		{atLeast(2, "b", math.Inf(1), 2, ""), `{"row":2,"figure":"b","value":null,"min":null,"max":null,"goal":"at least 2","met":false,"reason":"nothing was measured"}`},
		{over([]float64{3, 1, 2}, func(v float64) figure { return atMost(4, "d", v, 2, "") }),
			`{"row":4,"figure":"d","value":2,"min":1,"max":3,"goal":"at most 2","met":true}`},
		{over(nil, func(v float64) figure { return atMost(4, "d", v, 2, "") }),
			`{"row":4,"figure":"d","value":null,"min":null,"max":null,"goal":"at most 2","met":false,"reason":"nothing was measured"}`},
		{beside(5, "e", 2, ""), `{"row":5,"figure":"e","value":2,"min":2,"max":2,"goal":"","met":true}`},
		{unmeasured(3, "c", "at most 2", "why"), `{"row":3,"figure":"c","value":null,"min":null,"max":null,"goal":"at most 2","met":false,"reason":"why"}`},
	} {
		var out bytes.Buffer
		if err := (&sheet{out: &out, json: true}).write(c.f); err != nil || strings.TrimSpace(out.String()) != c.want {
			t.Errorf("%v\n%s\n%s", err, &out, c.want)
		}
	}
}

// TestRaceFigures: a receiver that gets nothing for ten seconds and all from then on.
func TestRaceFigures(t *testing.T) {
	r := &race{trial: trial{row: 1, what: "x", goal: 0.95, polite: true}, peak: 11}
	for s := range 101 {
		r.samples = append(r.samples, sample{
			at: time.Duration(s) * time.Second, got: int64(max(s-10, 0) * 5), could: int64(s * 5), tried: int64(s), turned: int64(min(s, 50)),
		})
	}
	var got []float64
	for _, f := range r.figures(50*time.Second, 10*time.Second) {
		got = append(got, *f.Value)
		if f.Met == strings.Contains(f.Figure, "reopening") {
			t.Errorf("%+v", f)
		}
	}
	if want := []float64{1, 9, 0, 11}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if f := r.learnedAt(time.Second, 200*time.Second, 100*time.Second); f.Value != nil || f.Met {
		t.Errorf("a window that is longer than the race: %+v", f)
	}
}

// TestIdeal: an ideal client is never refused, and keeps to what it knows.
func TestIdeal(t *testing.T) {
	n, err := newInternet()
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	is := sink.Character{MaxConns: 2, MaxRecipients: 3, HangUp: true, PerSecond: 40}
	r, err := newRace(n, trial{name: "x.test", is: is, conns: 2, rate: 40, groups: []int{3, 2}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	go r.ideal.run(ctx) // ends with the test
	if err := n.far.Wait(ctx, 60); err != nil {
		t.Fatal(err)
	}
	if c := n.far.Counts(r.twin()); c.Deferred > 0 || c.TurnedAway > 0 || c.MaxOpen > 2 {
		t.Errorf("%+v", c)
	}
}

// TestBlackHole: a connection to it is neither made nor refused.
func TestBlackHole(t *testing.T) {
	n, err := newInternet()
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	addr, err := n.lead("hole.test")
	if err != nil {
		t.Fatal(err)
	}
	var holes blackHoles
	defer holes.close()
	if err := holes.open(addr); err != nil {
		t.Fatal(err)
	}
	if _, err := net.DialTimeout("tcp", addr, 100*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("%v, want that the time is over", err)
	}
}

// TestBusiest: seconds begin with the span, and an end of a transaction is no begin.
func TestBusiest(t *testing.T) {
	u := &underWay{now: make(map[string]int), most: make(map[string]int)}
	for _, begun := range []bool{true, true, false, true, false, false} {
		u.tell("a", begun)
	}
	if u.peak("a") != 2 || u.peak("b") != 0 || u.now["a"] != 0 {
		t.Errorf("%+v", u)
	}
	if d := deviation(33, 30, 9, 10); math.Abs(d-0.1) > 1e-9 {
		t.Errorf("deviation %v", d)
	}
}

// TestHeldReplies: a reply belongs to the last opening before it, and one without an opening misses the goal.
func TestHeldReplies(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	opened := []time.Time{at(1000), at(3000)}
	for _, c := range []struct {
		replies []span
		worst   float64
		met     bool
	}{
		{[]span{{at(0), at(1010)}, {at(500), at(1040)}}, 0.04, true},
		{[]span{{at(0), at(1060)}, {at(500), at(1040)}}, 0.06, false},
		{[]span{{at(0), at(3020)}, {at(500), at(1040)}}, 0.04, true},
		{[]span{{at(0), at(900)}, {at(500), at(1040)}}, 0.04, false},
		{[]span{{at(500), at(1040)}}, 0.04, false},
	} {
		if f := judgeReplies("x", 2, c.replies, opened); *f.Value != c.worst || f.Met != c.met {
			t.Errorf("%v: %v, %v; %s", c.replies, *f.Value, f.Met, f.Note)
		}
	}
}
