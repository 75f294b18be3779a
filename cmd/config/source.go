package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/relay/smtp"
)

// sources judges the [[source]] tables. A name in EHLO is judged like smtp.helo_name.
func (v *verdict) sources(list []pool.SourceConfig) {
	v.table("", pool.ValidateSources(list))
	for i, c := range list {
		if c.Helo == "" {
			continue
		}
		key := sourceKey(i, "helo_name")
		if !strings.HasPrefix(c.Helo, "[") {
			v.of(key, validateHostname(c.Helo))
		} else if err := (&smtp.Config{Hostname: c.Helo}).Validate(); err != nil {
			v.of(key, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "helo_name: ")))
		}
	}
}

// SourceErrors returns an error for each address of a [[source]] that is none of the addresses own of this host. Loopback
// addresses are every host's.
func (c *Config) SourceErrors(own []netip.Addr) Errors {
	var v verdict
	for i, s := range c.Source {
		for _, f := range []struct {
			key  string
			addr netip.Addr
		}{{"address", s.Address}, {"address6", s.Address6}} {
			if f.addr.IsValid() && !ofThisHost(f.addr, own) {
				v.of(sourceKey(i, f.key), fmt.Errorf("%s of source %q is none of this host's addresses; set it up on an interface, or take the table out", f.addr, s.Name))
			}
		}
	}
	return v.errs
}

// ofThisHost reports whether a packet can come from a on a host with the addresses own.
func ofThisHost(a netip.Addr, own []netip.Addr) bool {
	return a.IsLoopback() || slices.Contains(own, a.WithZone(""))
}

// sourceWarnings finds settings of sources that are allowed and seldom meant.
func (v *verdict) sourceWarnings(c *Config) {
	if len(c.Source) == 0 {
		return
	}
	for _, f := range []struct {
		key  string
		addr netip.Addr
	}{{"bind_address", c.SMTP.Local4}, {"bind_address6", c.SMTP.Local6}} {
		if f.addr.IsValid() {
			v.of("smtp."+f.key, fmt.Errorf("%s is used for bounce.inject alone, because [[source]] is given; mail goes from the addresses of the sources", f.addr))
		}
	}
	nameless := -1
	for i, s := range c.Source {
		switch {
		case s.Helo != "":
		case nameless < 0:
			nameless = i
		default:
			v.of(sourceKey(i, "helo_name"), fmt.Errorf("is missing, so source %q greets with the same name as source %q; receivers distrust a name that does not lead back to the address",
				s.Name, c.Source[nameless].Name))
		}
	}
	if !slices.ContainsFunc(c.Source, func(s pool.SourceConfig) bool { return !s.Reserved }) {
		fate := "goes back to the MTA"
		if c.Bounce.IsDirect() {
			fate = "waits until it expires"
		}
		v.of("source", fmt.Errorf("every source is reserved; mail of tenants and sites that name none %s", fate))
	}
}

func sourceKey(i int, key string) string { return fmt.Sprintf("source[%d].%s", i, key) }
