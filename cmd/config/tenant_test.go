package config

import (
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/filter"
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
