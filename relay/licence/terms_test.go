package licence

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPeriods follows a clock, and restarts at each step if told so. Each step sends as much as there is room for.
func TestPeriods(t *testing.T) {
	type step struct {
		at   string
		want int
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"a month's end", []step{{"2026-11-30 23:59", 100}, {"2026-11-30 23:59", 0}, {"2026-12-01 00:00", 100}, {"2026-12-31 23:59", 0}, {"2027-01-01 00:00", 100}}},
		{"a month that nobody saw begin", []step{{"2026-11-30 12:00", 100}, {"2027-02-14 12:00", 100}}},
		{"the clock goes back over the month's end and forward again", []step{
			{"2026-12-01 00:01", 100}, {"2026-11-30 23:59", 0}, {"2026-12-01 00:02", 0}, {"2027-01-01 00:00", 100},
		}},
		{"the clock goes back to a month that was", []step{{"2026-11-10 00:00", 100}, {"2026-12-10 00:00", 100}, {"2026-11-11 00:00", 0}, {"2026-12-11 00:00", 0}}},
		{"the clock goes back to a month that never was", []step{{"2026-11-10 00:00", 100}, {"2027-01-10 00:00", 100}, {"2026-12-10 00:00", 0}, {"2027-01-11 00:00", 0}, {"2027-02-01 00:00", 100}}},
		{"a wrong clock, years ahead, locks nothing up", []step{{"2026-11-10 00:00", 100}, {"2038-01-01 00:00", 100}, {"2026-11-11 00:00", 0}, {"2026-12-01 00:00", 100}, {"2027-01-01 00:00", 100}, {"2038-01-01 00:00", 0}}},
		{"a clock that jumps to and fro", []step{
			{"2026-11-10 00:00", 100}, {"2038-01-01 00:00", 100}, {"2026-11-10 00:00", 0}, {"2038-01-01 00:00", 0}, {"1970-01-01 00:00", 0}, {"2026-11-10 00:00", 0}, {"2038-01-01 00:00", 0},
		}},
	} {
		for _, restart := range []bool{false, true} {
			x := newMeterage(t, nil)
			x.cfg.Month = 100
			x.begun = false
			x.Reload(x.cfg, nil)
			x.begun = true
			for i, s := range tt.steps {
				if restart && i > 0 {
					m, err := NewMeter(x.deps, x.disk, nil)
					if err != nil {
						t.Fatal(err)
					}
					m.Reload(x.cfg, nil)
					m.begun, x.Meter = true, m
				}
				x.turning.Lock()
				x.turn(at(s.at))
				x.turning.Unlock()
				if got := x.sends("", 300); got != s.want {
					t.Errorf("%s, restart %v: at %s %d, want %d", tt.name, restart, s.at, got, s.want)
				}
			}
		}
	}
}

// TestADayBeginsByTheTimeZone: and not by the host's.
func TestADayBeginsByTheTimeZone(t *testing.T) {
	x := newMeterage(t, nil)
	x.cfg.Day, x.cfg.TimeZone = 100, "Asia/Tokyo"
	if _, err := x.cfg.zone(); err != nil {
		t.Skip(err)
	}
	x.begun = false
	x.Reload(x.cfg, nil)
	x.begun = true
	for _, s := range []struct {
		at   string
		want int
	}{{"2026-11-26 14:59", 100}, {"2026-11-26 15:00", 100}, {"2026-11-27 00:00", 0}} {
		x.turn(at(s.at))
		if got := x.sends("", 300); got != s.want {
			t.Errorf("at %s %d, want %d", s.at, got, s.want)
		}
	}
	if got := x.Status().Usage[0].Resets; !got.Equal(at("2026-11-27 15:00")) {
		t.Errorf("it resets at %s", got)
	}
}

// TestRunBeginsTheDay: Run alone begins the day, within a second, and no message needs to ask.
func TestRunBeginsTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMeterage(t, func(c *Config) { c.Day = 100 }) // 2000-01-01 in a bubble
		done := make(chan struct{})
		ctx := t.Context()
		go func() { x.Run(ctx); close(done) }() // ends with the test
		x.sends("", 300)
		time.Sleep(time.Until(time.Date(2000, 1, 1, 23, 59, 59, 0, time.UTC)))
		if got := x.sends("", 300); got != 0 {
			t.Errorf("%d on the first day", got)
		}
		time.Sleep(2 * time.Second)
		if got := x.sends("", 300); got != 100 {
			t.Errorf("%d on the second", got)
		}
	})
}

// TestWarnings: once for each level of a period, also over a restart.
func TestWarnings(t *testing.T) {
	x := newMeterage(t, func(c *Config) { c.Month = 100 })
	levels := func() (got []int) {
		t.Helper()
		x.look(time.Now())
		for _, w := range x.told {
			var p int
			if _, err := fmt.Sscanf(w[strings.LastIndex(w, ": ")+2:], "%d %%", &p); err != nil {
				t.Fatal(w)
			}
			got = append(got, p)
		}
		x.told = nil
		return got
	}
	for _, s := range []struct {
		send int
		want []int
	}{{74, nil}, {1, []int{75}}, {5, nil}, {11, []int{90}}, {8, nil}, {1, []int{100}}, {50, nil}} {
		x.sends("", s.send)
		if got := levels(); fmt.Sprint(got) != fmt.Sprint(s.want) {
			t.Errorf("after %d more: %v, want %v", s.send, got, s.want)
		}
		x.start()
	}
	x.cfg.Month = 120 // another bound
	x.start()
	x.sends("", 1)
	if got := levels(); fmt.Sprint(got) != "[75]" {
		t.Errorf("a larger bound: %v", got)
	}
}

// TestALicenceHolds: its bounds, its grace, its end, and the evaluation when there is none.
func TestALicenceHolds(t *testing.T) {
	key := newKey(t)
	x := newMeterage(t, func(c *Config) {
		c.Keys, c.Evaluation, c.Grace = []string{key.Public().String()}, 30, 24*time.Hour
	})
	l := sample()
	l.Limits = Limits{Total: 50}
	l.Tenants = []TenantConfig{{"acme", Limits{Total: 5}}}
	run := func(at time.Time) int {
		x.turn(at)
		return x.sends("", 300)
	}
	if got := run(noon); got != 30 {
		t.Errorf("evaluation: %d", got)
	}
	x.lic = &l
	x.Reload(x.cfg, x.lic)
	x.turn(noon)
	if a, b := x.sends("acme", 100), x.sends("", 100); a != 5 || b != 45 {
		t.Errorf("licence: %d %d", a, b)
	}
	if got := run(l.Expires.Add(-time.Second)); got != 0 {
		t.Errorf("the same licence again: %d", got)
	}
	renewed := l
	renewed.Serial, renewed.Expires = "18", l.Expires.AddDate(0, 1, 0)
	for _, again := range []*Licence{&renewed, &l, &renewed} { // each begins once
		x.Reload(x.cfg, again)
		want := 0
		if got := run(l.Expires.Add(-time.Second)); again.Serial == "18" && x.count.sent[""] <= 130 && got == 50 {
			want = 50
		} else if got != want {
			t.Errorf("licence %s: %d", again.Serial, got)
		}
	}
	if got := x.count.sent[""]; got != 130 {
		t.Errorf("%d in all, want 30 for evaluation, 50 and 50", got)
	}
	third := renewed
	third.Serial = "19"
	x.Reload(x.cfg, &third)
	if got := run(third.Expires.Add(23 * time.Hour)); got != 50 {
		t.Errorf("in grace: %d", got)
	}
	if got := run(third.Expires.Add(25 * time.Hour)); got != 0 {
		t.Errorf("without a licence the evaluation is over: %d", got)
	}
	if _, why := x.Reserve("", 1); !strings.Contains(why.Text, "for evaluation") {
		t.Errorf("%+v", why)
	}
	x.cfg.Evaluation = 0
	x.Reload(x.cfg, &third)
	if got := run(third.Expires.Add(25 * time.Hour)); got != 300 {
		t.Errorf("without an evaluation mail flows: %d", got)
	}
}
