package config

import (
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// TestTheRecipeForCustomers: the recipe in contrib/APPLICATIONS.md is a configuration, without a warning about tenants.
func TestTheRecipeForCustomers(t *testing.T) {
	text, err := os.ReadFile("../../contrib/APPLICATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, recipe, _ := strings.Cut(string(text), "```toml\n")
	recipe, _, _ = strings.Cut(recipe, "```")
	c, err := loadText("hostname = 'mail.example.org'\n" + recipe)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tenant) != 2 || c.Tenant[0].Weight != 3 || c.Tenant[1].Weight != 1 || c.Bulk.Rule[0].Lane != filter.LaneUrgent {
		t.Errorf("%+v %+v", c.Tenant, c.Bulk.Rule)
	}
	for _, w := range c.Warnings(nil) {
		t.Error(w)
	}
}

// TestTenantRate: a rate of a tenant is read as that of a [[site]], and as the number that it once had to be.
func TestTenantRate(t *testing.T) {
	for text, want := range map[string]relay.TenantRate{`"50/s"`: 50, `"600/m"`: 10, "50": 50, "0.5": 0.5, "0": 0} {
		c, err := loadText("hostname = 'mail.example.org'\n[[tenant]]\nname = 'a'\nsender = 'b@c.example'\nrate = " + text + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.TenantLimits()[0].Rate; got != want {
			t.Errorf("rate = %s is %v", text, got)
		}
	}
}
