package licence

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestAStateThatIsLost: the periods begin now, and the log says so.
func TestAStateThatIsLost(t *testing.T) {
	for _, damage := range []string{"", "{", "[]", `{"version":9,"installation":"x"}`, `{"version":1,"installation":""}`, `{"version":1,"installation":"x","month":{"now":"2026-11","begun":{"2026-11":null}},"serials":[{"key":"17"}],"warned":null,"evaluation":null}`} {
		x := newMeterage(t, func(c *Config) { c.Month = 100 })
		x.sends("", 70)
		x.disk = []byte(damage)
		if damage == "" {
			x.disk = nil
		}
		x.start()
		if got := x.sends("", 300); got != 100 {
			t.Errorf("%q: %d", damage, got)
		}
		if begins := strings.Contains(strings.Join(x.told, "\n"), "begins now"); begins != (damage != "" && !strings.Contains(damage, "begun")) {
			t.Errorf("%q: told %q", damage, x.told)
		}
	}
}

// TestACounterThatIsLost: it begins at 0. The bases of before must not lock it up, nor is what was sent before known.
func TestACounterThatIsLost(t *testing.T) {
	x := newMeterage(t, func(c *Config) { c.Month = 100 })
	x.count.count("", 5000, 0)
	x.disk = nil
	x.start()
	x.sends("", 60)
	before := x.Status().Installation
	x.count.sent[""] = 0
	x.start()
	if got := x.sends("", 300); got != 100 || x.Status().Installation == before {
		t.Errorf("%d, installation %s as before %s", got, x.Status().Installation, before)
	}
}

// TestADiskThatIsFull: what is not durable is not in force, so that it cannot begin twice. Nothing hangs.
func TestADiskThatIsFull(t *testing.T) {
	x := newMeterage(t, func(c *Config) { c.Month = 100 })
	x.full, x.disk = true, nil
	x.start() // for the first time
	if got := x.sends("", 300); got != 0 || x.refusing() != "how much of the allowance is used is not known yet: disk full" {
		t.Errorf("%d, refused for %q", got, x.refusing())
	}
	x.full = false
	x.turn(at("2026-11-10 00:00"))
	x.sends("", 300)
	x.full = true
	x.look(at("2026-12-01 00:00"))
	if got := x.sends("", 300); got != 0 || x.Status().StoreError != "disk full" {
		t.Errorf("%d, %+v", got, x.Status())
	}
	x.full = false
	x.look(at("2026-12-01 00:01"))
	if got := x.sends("", 300); got != 100 || x.Status().StoreError != "" {
		t.Errorf("%d, %+v", got, x.Status())
	}
}

// TestTheStateIsSmall: a thousand tenants for months stay within what a start reads in a moment.
func TestTheStateIsSmall(t *testing.T) {
	x := newMeterage(t, nil)
	for i := range MaxTenants {
		x.cfg.Tenant = append(x.cfg.Tenant, TenantConfig{fmt.Sprintf("tenant-%d", i), Limits{Day: 1, Month: 1}})
	}
	x.Reload(x.cfg, nil)
	for d := range 20 {
		x.turn(noon.AddDate(0, 0, d))
	}
	if len(x.disk) > 1<<20 || !json.Valid(x.disk) {
		t.Errorf("%d bytes", len(x.disk))
	}
}
