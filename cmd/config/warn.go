package config

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/millrace/millrace/relay/route"
)

// leastDot is how long a client should wait for the reply to the end of data (RFC 5321 section 4.5.3.2.6).
const leastDot = 10 * time.Minute

// Check returns the mistakes of the file at path as Load does, or its warnings with their places.
func Check(path string) (warnings Errors, err error) {
	_, warnings, err = Review(path)
	return warnings, err
}

// Review loads the file at path like Load, and returns warnings with their places. It asks this host for its addresses and
// its memory; the rest of the package looks at the text alone.
func Review(path string) (cfg *Config, warnings Errors, err error) {
	cfg, l, err := load(path)
	if err != nil {
		return nil, nil, err
	}
	own, err := route.LocalAddrs()
	if err != nil {
		return nil, nil, err
	}
	memory, err := ReadMemory(os.DirFS("/"))
	if err != nil {
		return nil, nil, err
	}
	warnings = append(cfg.Warnings(own), cfg.SourceErrors(own)...)
	if _, err := cfg.MemoryFor(memory); err != nil {
		warnings = append(warnings, err.(Errors)...) // the host that the file is for may have more
	}
	l.place(warnings)
	warnings.sort()
	return cfg, warnings, nil
}

// Warnings returns the settings that are allowed and seldom meant on a host with the addresses own. They are no mistakes: a
// source address may come with a failover that has not happened yet, and a file may be checked on another host than its
// own.
func (c *Config) Warnings(own []netip.Addr) Errors {
	var v verdict
	v.sourceWarnings(c)
	v.tenantWarnings(c)
	v.siteWarnings(c)
	for _, source := range []struct {
		key  string
		addr netip.Addr
	}{{"smtp.bind_address", c.SMTP.Local4}, {"smtp.bind_address6", c.SMTP.Local6}} {
		if a := source.addr; a.IsValid() && !ofThisHost(a, own) {
			v.of(source.key, fmt.Errorf("%s is none of this host's addresses; nothing can be sent until it is", a))
		}
	}
	most := c.Milter.MaxBuffered
	if c.Queue.MaxBytes > 0 {
		most = min(most, c.Queue.MaxBytes)
	}
	if c.Bulk.SizeLimit > most {
		v.of("bulk.size_limit", fmt.Errorf("%d is more than milter.max_buffered or queue.max_bytes; a message over %d bytes is never taken", c.Bulk.SizeLimit, most))
	}
	if first := c.Retry.Schedule[0]; c.Retry.Lifetime < first {
		v.of("retry.lifetime", fmt.Errorf("%s is less than the first wait of retry.schedule (%s); a message is tried once", c.Retry.Lifetime, first))
	}
	if c.Handback.After >= c.Retry.Lifetime {
		v.of("handback.after", fmt.Errorf("%s is not less than retry.lifetime (%s); a message expires before", c.Handback.After, c.Retry.Lifetime))
	}
	if dot := c.SMTP.Timeouts.Dot; dot < leastDot {
		v.of("smtp.data_done_timeout", fmt.Errorf("%s is less than 10m; a receiver that answers later gets the message twice", dot))
	}
	return v.errs
}
