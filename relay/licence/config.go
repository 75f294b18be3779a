package licence

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"
)

// Limits are the bounds of an installation or a tenant, in recipients. 0 is no bound.
type Limits struct {
	Day   uint64 `toml:"day" json:"day,omitempty"`     // in one day of the calendar
	Month uint64 `toml:"month" json:"month,omitempty"` // in one month of the calendar
	Total uint64 `toml:"total" json:"total,omitempty"` // since the first start; of a licence: since it was first in force
}

// any reports whether there is a bound.
func (l Limits) any() bool { return l != Limits{} }

// MaxLimit is the largest bound, so that no sum of numbers overflows.
const MaxLimit = 1_000_000_000_000_000

func (l Limits) validate() error {
	for _, f := range []struct {
		key string
		n   uint64
	}{{"day", l.Day}, {"month", l.Month}, {"total", l.Total}} {
		if f.n > MaxLimit {
			return fmt.Errorf("%s: %d is more than %d; leave it out for no limit", f.key, f.n, uint64(MaxLimit))
		}
	}
	if l.Month > 0 && l.Day > l.Month {
		return fmt.Errorf("day: %d is more than month, %d, so that it never counts; write less, or leave it out", l.Day, l.Month)
	}
	return nil
}

// Config is the [allowance] table. The allowance of a tenant stands in [[allowance.tenant]] and not in [[tenant]]: a [[tenant]] says whose
// a message is and how it takes turns, which a message is asked for each time; what was agreed about numbers stands together in one
// place, and a licence has it in the same form.
type Config struct {
	Limits `toml:",inline"` // day, month, total: of the installation

	TimeZone   string         `toml:"time_zone"`    // by which days and months begin, "Europe/Berlin"; "": this host's
	Keys       []string       `toml:"licence_keys"` // public keys whose licences hold; none: no licence does
	Evaluation uint64         `toml:"evaluation"`   // recipients in all while no licence is in force; 0: any number
	Grace      time.Duration  `toml:"grace"`        // a licence that has expired stays in force so long
	Tenant     []TenantConfig `toml:"tenant"`
	Server     ServerConfig   `toml:"server"`
}

// TenantConfig is one [[allowance.tenant]].
type TenantConfig struct {
	Name   string           `toml:"name" json:"name"` // of a [[tenant]]
	Limits `toml:",inline"` // day, month, total
}

// ServerConfig is the [allowance.server] table: the licence server that hands out slices of an allowance. Without it there is none.
type ServerConfig struct {
	URL       string        `toml:"url"`        // "https://licence.example.org:8443"; "": no server
	TokenFile string        `toml:"token_file"` // has the secret by which the server knows this installation
	CAFile    string        `toml:"ca_file"`    // PEM; "": the authorities that the system trusts
	Every     time.Duration `toml:"every"`      // how often the server is told of the numbers
}

// DefaultConfig is the table of an empty file: no limit. A licence that has expired holds for two weeks more, time enough to get another.
func DefaultConfig() Config {
	return Config{Grace: 14 * 24 * time.Hour, Server: ServerConfig{Every: time.Minute}}
}

// maxGrace is the longest grace.
const maxGrace = 366 * 24 * time.Hour

// MaxTenants is how many tenants may have an allowance.
const MaxTenants = 1000

// Validate returns what is wrong, joined; each error names its key. Whether a [[tenant]] has the name that is given is judged elsewhere.
func (c Config) Validate() error {
	errs := []error{c.Limits.validate()}
	if _, err := c.zone(); err != nil {
		errs = append(errs, err)
	}
	if _, err := ParseKeys(c.Keys); err != nil {
		errs = append(errs, fmt.Errorf("licence_keys: %w", err))
	}
	switch {
	case c.Evaluation > MaxLimit:
		errs = append(errs, fmt.Errorf("evaluation: %d is more than %d; leave it out for any number", c.Evaluation, uint64(MaxLimit)))
	case c.Evaluation > 0 && len(c.Keys) == 0:
		errs = append(errs, errors.New("evaluation: holds until there is a licence, and without licence_keys there is never one; give a key, or use total"))
	case c.Grace < 0 || c.Grace > maxGrace:
		errs = append(errs, fmt.Errorf(`grace: %s is not between "0s" and %q`, c.Grace, maxGrace))
	case len(c.Tenant) > MaxTenants:
		errs = append(errs, fmt.Errorf("tenant: %d tables are more than %d", len(c.Tenant), MaxTenants))
	}
	errs = append(errs, c.Server.validate(len(c.Keys)), validateTenants(c.Tenant))
	return errors.Join(errs...)
}

func validateTenants(tenants []TenantConfig) error {
	var errs []error
	first := make(map[string]int)
	for i, t := range tenants {
		other, twice := first[t.Name]
		switch err := t.Limits.validate(); {
		case t.Name == "":
			errs = append(errs, fmt.Errorf("tenant[%d].name: is missing; write the name of a [[tenant]]", i))
		case twice:
			errs = append(errs, fmt.Errorf("tenant[%d].name: %q has an allowance in tenant[%d]; join the two tables", i, t.Name, other))
		case err != nil:
			errs = append(errs, fmt.Errorf("tenant[%d].%w", i, err))
		case !t.any():
			errs = append(errs, fmt.Errorf("tenant[%d].name: %q has no limit; give one of day, month and total, or take the table out", i, t.Name))
		}
		if !twice {
			first[t.Name] = i
		}
	}
	return errors.Join(errs...)
}

// validate judges the table. keys is how many keys are trusted: a slice is a licence.
func (c ServerConfig) validate(keys int) error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil:
		return fmt.Errorf(`server.url: %q is no address of a licence server; write it like "https://licence.example.org:8443"`, c.URL)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return fmt.Errorf("server.url: the token would go in clear to %s; use https", u.Host)
	case keys == 0:
		return errors.New("server.url: its slices are signed, and licence_keys names no key; write the server's public key there")
	case !filepath.IsAbs(c.TokenFile):
		return fmt.Errorf("server.token_file: %q is not a path from the root; the server knows this installation by the secret in that file", c.TokenFile)
	case c.CAFile != "" && !filepath.IsAbs(c.CAFile):
		return fmt.Errorf("server.ca_file: %q is not a path from the root", c.CAFile)
	case c.Every < time.Second || c.Every > time.Hour:
		return fmt.Errorf(`server.every: %s is not between "1s" and "1h"`, c.Every)
	}
	return nil
}

// isLoopback reports whether a host is this one. A name other than "localhost", "127.example.org" too, may stand for any.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// zone is the location by which days and months begin.
func (c Config) zone() (*time.Location, error) {
	if c.TimeZone == "" {
		return time.Local, nil
	}
	at, err := time.LoadLocation(c.TimeZone)
	if err != nil || c.TimeZone == "Local" {
		return nil, fmt.Errorf(`time_zone: %q is not known to this host; write it like "Europe/Berlin" or "UTC"`, c.TimeZone)
	}
	return at, nil
}
