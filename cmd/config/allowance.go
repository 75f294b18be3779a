package config

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/filter"
)

// allowance judges the [allowance] table, and whether the tenants that it names exist.
func (v *verdict) allowance(c *Config) {
	v.table("allowance", c.Allowance.Validate())
	for i, t := range c.Allowance.Tenant {
		if t.Name != "" && !slices.ContainsFunc(c.Tenant, func(other filter.TenantConfig) bool { return other.Name == t.Name }) {
			v.of(fmt.Sprintf("allowance.tenant[%d].name", i), fmt.Errorf("%q is the name of no [[tenant]]; give one of that name, or take it out", t.Name))
		}
	}
}

// allowanceZeros refuses a 0 that is written as a limit: to the meter it is no limit, and its author may have meant that nothing is sent.
func (l *loader) allowanceZeros(c *Config) {
	refuse := func(key string, n uint64) {
		if _, given := l.places.offset[key]; given && n == 0 {
			l.refuse(key, `0 is no allowance; leave the key out for no limit, or use mode = "observe" to take nothing`)
		}
	}
	limits := func(path string, day, month, total uint64) {
		refuse(path+".day", day)
		refuse(path+".month", month)
		refuse(path+".total", total)
	}
	a := &c.Allowance
	limits("allowance", a.Day, a.Month, a.Total)
	refuse("allowance.evaluation", a.Evaluation)
	for i, t := range a.Tenant {
		limits(fmt.Sprintf("allowance.tenant[%d]", i), t.Day, t.Month, t.Total)
	}
}
