package pool

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Day is a calendar day, counted from 1 January 1970. In text it is written like "2026-12-01".
//
// A plan's day begins at midnight of this host's time zone. The admin writes the plan's dates by this clock, and compares them
// with log lines that have its dates. Receivers count by clocks that nobody publishes, so no other midnight would be better.
// A day with a change of the clock is one day, of 23 or 25 hours.
type Day int

// dayOf is the day of t in the zone.
func dayOf(t time.Time, zone *time.Location) Day {
	y, m, d := t.In(zone).Date()
	return Day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// UnmarshalText reads a day.
func (d *Day) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return errors.New(`want a date like "2026-12-01"`)
	}
	*d = dayOf(t, time.UTC)
	return nil
}

// String is the day as it is written.
func (d Day) String() string { return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly) }

// MarshalText writes the day.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Warmup is one plan of a source: how many recipients each provider may have from it, day by day. A recipient counts when it
// is tried, because the receiver counts it then.
//
// The plan begins on the day Start, and the source sends the provider nothing before. After its last figure the source is
// warm: there is no limit. The days go by the calendar, also when nothing was sent.
type Warmup struct {
	Start     Day      `toml:"start"`
	Plan      []int    `toml:"plan"`      // recipients on the first day, on the second, and so on; no figure is less than the one before
	Providers []string `toml:"providers"` // of the table of providers, or sites: whose plan it is, each by itself; empty: of every provider that no other plan names
}

// maxPlan is how many days a plan may have.
const maxPlan = 1000

// noLimit is the limit of a source that is warm.
const noLimit = math.MaxInt

// limit is how many recipients the plan allows on a day: 0 before it begins, noLimit after it.
func (w *Warmup) limit(d Day) int {
	switch i := int(d - w.Start); {
	case i < 0:
		return 0
	case i >= len(w.Plan):
		return noLimit
	default:
		return w.Plan[i]
	}
}

// faults is what is wrong with one plan.
func (w *Warmup) faults() (errs []error) {
	if w.Start == 0 {
		errs = append(errs, errors.New(`start: is missing; give the plan's first day, like "2026-12-01"`))
	}
	if n := len(w.Plan); n == 0 || n > maxPlan {
		errs = append(errs, fmt.Errorf("plan: has %d figures; give between 1 and %d, one a day, like [50, 100, 200]", n, maxPlan))
	}
	before := 1
	for i, n := range w.Plan {
		switch {
		case n < 1:
			errs = append(errs, fmt.Errorf("plan[%d]: %d is less than 1; the end of the plan is the end of the limit", i, n))
		case n < before:
			errs = append(errs, fmt.Errorf("plan[%d]: %d is less than %d, the day before; a plan does not fall", i, n, before))
		}
		before = max(before, n)
	}
	for i, name := range w.Providers {
		switch err := checkProvider(name); {
		case name == "":
			errs = append(errs, fmt.Errorf("providers[%d]: is empty; leave the list out for every other provider", i))
		case err != nil && !strings.Contains(name, ":"): // no site, as "millrace sites" names it
			errs = append(errs, fmt.Errorf(`providers[%d]: %w; or name a site, like "mx.example.com:25"`, i, err))
		}
	}
	return errs
}

// planFor is the plan for a provider: the one that names it, else the one that names none, else nil.
func planFor(plans []Warmup, provider string) *Warmup {
	var general *Warmup
	for i := range plans {
		w := &plans[i]
		if slices.Contains(w.Providers, provider) {
			return w
		}
		if len(w.Providers) == 0 {
			general = w
		}
	}
	return general
}
