package config

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/pool"
)

// tenants judges the [[tenant]] tables, and that the sources they name exist.
func (v *verdict) tenants(c *Config) {
	v.table("", filter.ValidateTenants(c.Tenant))
	for i, t := range c.Tenant {
		first := slices.IndexFunc(c.Tenant, func(other filter.TenantConfig) bool { return other.Name == t.Name })
		if first < i && t.Name != "" {
			v.ofTwo(tenantKey(i, "name"), tenantKey(first, "name"),
				fmt.Errorf("%q is the name of two tenants, which limits and lists could not tell apart; give each its own", t.Name))
		}
		for k, name := range t.Sources {
			if !slices.ContainsFunc(c.Source, func(s pool.SourceConfig) bool { return s.Name == name }) {
				v.of(tenantKey(i, fmt.Sprintf("sources[%d]", k)), fmt.Errorf("%q is the name of no [[source]]; give one of that name, or take it out", name))
			}
		}
	}
}

// tenantWarnings finds tenants that can never have a message.
func (v *verdict) tenantWarnings(c *Config) {
	for i, t := range c.Tenant {
		if first := slices.IndexFunc(c.Tenant[:i], func(other filter.TenantConfig) bool { return other.Covers(t) }); first >= 0 {
			v.ofTwo(tenantKey(i, "name"), tenantKey(first, "name"),
				fmt.Errorf("tenant %q never has a message, because tenant %q stands above it and all its messages are that one's; move it up", t.Name, c.Tenant[first].Name))
		}
	}
}

// TenantLimits are the parts of the [[tenant]] tables that are about mail which is taken.
func (c *Config) TenantLimits() []relay.TenantConfig {
	var limits []relay.TenantConfig
	for _, t := range c.Tenant {
		limits = append(limits, t.TenantConfig)
	}
	return limits
}

func tenantKey(i int, key string) string { return fmt.Sprintf("tenant[%d].%s", i, key) }
