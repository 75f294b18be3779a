package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Config is the resolver's part of the configuration. Zero fields take the
// defaults named at each.
type Config struct {
	// Servers are the name servers, "ip" or "ip:port", in order of preference.
	// Empty means those of /etc/resolv.conf.
	Servers []string `toml:"servers"`
	// Timeout is how long one try at one server may take (2 s).
	Timeout time.Duration `toml:"timeout"`
	// Quick is how long a name may take before it has to make room for others
	// and goes to the slow lane (500 ms).
	Quick time.Duration `toml:"quick"`
	// MinTTL and MaxTTL bound how long an answer is kept (30 s and 1 h). They
	// overrule its TTL: one of zero would cost a lookup for each message, and one
	// of a week would keep mail going to a host that was taken away.
	MinTTL time.Duration `toml:"min_ttl"`
	MaxTTL time.Duration `toml:"max_ttl"`
	// MaxStale is how long an expired answer may be used when no new one can be
	// had (24 h; RFC 8767).
	MaxStale time.Duration `toml:"max_stale"`
	// Entries bounds the cache, in domains (100,000). The least recently used
	// go first.
	Entries int `toml:"entries"`
	// Waiting bounds each of the three queues of names not yet looked up
	// (100,000).
	Waiting int `toml:"waiting"`
	// Parallel is how many questions may be outstanding at the name servers
	// (2048, at least 4). A name that has not answered in 100 ms steps aside
	// when others wait. Names that are silent for longer than Quick have room of
	// their own, a quarter of this in addition.
	Parallel int `toml:"parallel"`
	// Port is where receivers listen (25).
	Port uint16 `toml:"port"`
	// IPv4Only leaves IPv6 out, for hosts that cannot send over it.
	IPv4Only bool `toml:"ipv4_only"`
	// Literals allows address literals, "user@[192.0.2.1]". Off by default:
	// bulk mail has no use for them.
	Literals bool `toml:"literals"`
	// AllowPrivate allows receivers in private networks (RFC 1918, RFC 4193,
	// RFC 6598). Static routes may name such addresses in any case.
	AllowPrivate bool `toml:"allow_private"`
	// Allow lists networks that receivers may be in although they are private,
	// loopback, link-local or otherwise refused.
	Allow []netip.Prefix `toml:"allow"`
	// Prohibited lists networks that receivers may not be in. It wins over
	// Allow.
	Prohibited []netip.Prefix `toml:"prohibited"`
	// Own are the addresses that lead back to this host, also by way of a
	// proxy. A receiver with such an address is this host. It is left out, and so
	// is every receiver that is no better (RFC 5321 §5.1).
	Own []netip.Addr `toml:"own"`
	// Local lists the addresses that this host has now; LocalAddrs in the
	// daemon. It is called by New, and each minute from then on: a floating
	// address moves between hosts while they run. Nil means none.
	Local func() ([]netip.Addr, error) `toml:"-"`
	// Dial opens a UDP socket or a TCP connection to a name server; nil for the net
	// package's. It must honour ctx, and must not wait for a UDP socket.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) `toml:"-"`
	// Chance gives a number below n, which decides among hosts that are equally
	// good; nil for math/rand's. A simulation repeats its choices with it.
	Chance func(n int) int `toml:"-"`
	// Hostname is the name that this host greets with; an MX of that name is this
	// host too.
	Hostname string `toml:"-"`
	// Names are the names by which this host greets and is known. Their addresses
	// in DNS are this host's, too: behind NAT no interface has them. They are
	// looked up by Run and each minute from then on.
	Names []string `toml:"-"`
}

// withDefaults fills in the zero fields.
func (c Config) withDefaults() Config {
	orDuration(&c.Timeout, 2*time.Second)
	orDuration(&c.Quick, 500*time.Millisecond)
	orDuration(&c.MinTTL, 30*time.Second)
	orDuration(&c.MaxTTL, time.Hour)
	orDuration(&c.MaxStale, 24*time.Hour)
	orInt(&c.Entries, 100_000)
	orInt(&c.Waiting, 100_000)
	orInt(&c.Parallel, 2048)
	if c.Port == 0 {
		c.Port = 25
	}
	c.Quick = min(c.Quick, c.Timeout)
	c.Hostname = strings.ToLower(strings.TrimSuffix(c.Hostname, "."))
	return c
}

// orDuration gives *d a default.
func orDuration(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

// orInt gives *n a default.
func orInt(n *int, def int) {
	if *n == 0 {
		*n = def
	}
}

// Validate reports every setting that cannot be used, each with its key.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Timeout > 0, "timeout: %v is not a positive duration", c.Timeout)
	check(c.Quick > 0, "quick: %v is not a positive duration", c.Quick)
	check(c.MinTTL > 0, "min_ttl: %v is not a positive duration", c.MinTTL)
	check(c.MaxTTL >= c.MinTTL, "max_ttl: %v is less than min_ttl, %v", c.MaxTTL, c.MinTTL)
	check(c.MaxStale > 0, "max_stale: %v is not a positive duration", c.MaxStale)
	check(c.Entries > 0, "entries: %d is not a positive number", c.Entries)
	check(c.Waiting > 0, "waiting: %d is not a positive number", c.Waiting)
	check(c.Parallel >= 4, "parallel: %d is less than 4", c.Parallel)
	for _, s := range c.Servers {
		_, err := parseServer(s)
		check(err == nil, "servers: %w", err)
	}
	return errors.Join(errs...)
}

// servers is the list of name servers to use; the file is resolv.conf(5).
func (c Config) servers(file string) ([]netip.AddrPort, error) {
	names := c.Servers
	if len(names) == 0 {
		rc, err := dns.ClientConfigFromFile(file)
		if err != nil {
			return nil, fmt.Errorf("find the name servers: %w; name them in servers", err)
		}
		names = rc.Servers
	}
	if len(names) == 0 {
		names = []string{"127.0.0.1"} // resolv.conf(5): without nameserver lines, this host
	}
	list := make([]netip.AddrPort, 0, len(names))
	for _, name := range names {
		ap, err := parseServer(name)
		if err != nil {
			return nil, err
		}
		list = append(list, ap)
	}
	return list, nil
}

// parseServer reads "ip" or "ip:port" ("[ip]:port" for IPv6).
func parseServer(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf(`name server %q: write "ip" or "ip:port"`, s)
	}
	return ap, nil
}

// clamp bounds the life of an answer.
func (c *Config) clamp(ttl time.Duration) time.Duration {
	return max(c.MinTTL, min(ttl, c.MaxTTL))
}
