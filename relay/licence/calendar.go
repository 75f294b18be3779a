package licence

import (
	"maps"
	"slices"
	"time"
)

// calendar has the periods of one length that have begun: for each tenant the number sent when it began. Periods are named so that a
// later one has the larger name, by the date on the wall: "2026-11" or "2026-11-26". A change of the time zone then moves the beginning
// of the next period and no base.
type calendar struct {
	Now   string                       `json:"now"` // the period in force
	Begun map[string]map[string]uint64 `json:"begun"`
}

// How many periods a calendar remembers. A clock that goes back further than that leads to the oldest base, which is no fresh allowance.
const (
	keptDays   = 8
	keptMonths = 4
)

// Names of periods.
const (
	dayName   = "2006-01-02"
	monthName = "2006-01"
)

// turn goes to the period of that name. A later one begins now, unless it has begun before. An earlier one that never began has the bases
// of the one that began after it: a clock that goes back must not give a fresh allowance. A tenant without a base begins now too. turn
// reports whether there is anything new to be made durable.
func (c *calendar) turn(name string, tenants []string, sent func(string) uint64, most int) (changed bool) {
	if c.Begun == nil {
		c.Begun = make(map[string]map[string]uint64)
	}
	if changed = c.Now != name; changed && c.Begun[name] == nil {
		c.Begun[name] = maps.Clone(c.next(name))
	}
	c.Now = name
	if c.Begun[name] == nil {
		c.Begun[name] = make(map[string]uint64)
	}
	for _, t := range tenants {
		// A counter below its base has been lost: nothing of what it counted before is known.
		if base, known := c.Begun[name][t]; !known || base > sent(t) {
			c.Begun[name][t], changed = sent(t), true
		}
	}
	c.forget(most)
	return changed
}

// next is the bases of the first period behind that name, if the clock has gone back to it, else nil.
func (c *calendar) next(name string) map[string]uint64 {
	if c.Now == "" || name > c.Now {
		return nil
	}
	later := ""
	for begun := range c.Begun {
		if begun > name && (later == "" || begun < later) {
			later = begun
		}
	}
	return c.Begun[later]
}

// forget drops the oldest periods, but not the one in force.
func (c *calendar) forget(most int) {
	names := slices.Sorted(maps.Keys(c.Begun))
	for _, name := range names {
		if len(c.Begun) > most && name != c.Now {
			delete(c.Begun, name)
		}
	}
}

// base is the number at which the period in force began for a tenant.
func (c *calendar) base(tenant string) uint64 { return c.Begun[c.Now][tenant] }

// clone is a copy that shares nothing.
func (c *calendar) clone() calendar {
	out := calendar{Now: c.Now, Begun: make(map[string]map[string]uint64, len(c.Begun))}
	for name, bases := range c.Begun {
		out.Begun[name] = maps.Clone(bases)
	}
	return out
}

// begins are when the next day and the next month begin.
func begins(now time.Time) (day, month time.Time) {
	y, m, d := now.Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, now.Location()), time.Date(y, m+1, 1, 0, 0, 0, 0, now.Location())
}
