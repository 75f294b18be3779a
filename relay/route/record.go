package route

import "time"

const (
	// grace is how long an expired Route is still given out while its refresh
	// is under way.
	grace = 30 * time.Second
	// maxBackoff bounds the time between two lookups of a name that fails
	// (RFC 9520 §3.2).
	maxBackoff = 5 * time.Minute
	// denials is how many lookups must deny a domain before it counts as not
	// existing.
	denials = 2
)

// record is the cache's entry for a domain. Resolver.mu guards it.
type record struct {
	route     *Route    // the answer until route.Expires
	refresh   time.Time // from here on a question starts a refresh; zero: it expires first
	good      *Route    // the last Route with hosts, used when no new one can be had
	goodUntil time.Time // how long good may be used
	failures  int       // lookups in a row without a certain answer
	denied    int       // lookups that said NXDOMAIN since there was a Route
	instant   bool      // made without a lookup; made again when it has expired
	guard     *guard    // by which the answer was judged
}

// at is the record's Route at a time, nil for none, and whether a lookup should be
// started.
func (r *record) at(now time.Time) (rt *Route, want bool) {
	if now.Before(r.route.Expires) {
		return r.route, !r.refresh.IsZero() && !now.Before(r.refresh)
	}
	if r.route.Err != nil || !now.Before(r.goodUntil) {
		return nil, true
	}
	if r.failures > 0 || now.Before(r.route.Expires.Add(grace)) {
		return r.route, true
	}
	return nil, true
}

// doubted is what the record answers in place of rt when this host's addresses
// have changed since: a Route that leads somewhere until a new one is there, and
// an error, which may say that the domain leads to us, no more. The rejected
// choice was to empty the cache, which would stop all mail for a moment.
func (r *record) doubted(rt *Route) (*Route, bool) {
	if rt == nil || r.instant || rt.Err != nil {
		return nil, true
	}
	return rt, true
}

// lane is the queue for the next lookup.
func (r *record) lane() lane {
	switch {
	case r.failures > 0:
		return slow
	case r.good != nil:
		return familiar
	}
	return fresh
}

// keeper makes records from findings.
type keeper struct {
	cfg     *Config
	now     time.Time
	healthy bool
}

// update is the record after one more finding. In place of a failure it keeps the
// old answer until goodUntil.
func (k keeper) update(old record, f finding) record {
	switch f.verdict {
	case good:
		return k.renewed(f)
	case refused:
		if k.healthy {
			return k.final(old, f)
		}
	case missing:
		if k.healthy {
			old.denied++
		}
		if k.healthy && old.denied >= denials {
			return k.final(old, f)
		}
	}
	return k.renew(old, f)
}

// renewed is the record of a domain that has hosts.
func (k keeper) renewed(f finding) record {
	life := k.cfg.clamp(f.ttl)
	rt := f.route
	rt.Expires = k.now.Add(life)
	return record{
		route:     rt,
		refresh:   rt.Expires.Add(-life / 5),
		good:      rt,
		goodUntil: rt.Expires.Add(k.cfg.MaxStale),
	}
}

// final is the record of a domain whose mail bounces. A domain that does not
// exist stays in the slow lane: the names of a dead list wait behind the living.
func (k keeper) final(old record, f finding) record {
	f.route.Expires = k.now.Add(k.cfg.clamp(f.ttl))
	r := record{route: f.route, denied: old.denied}
	if f.verdict == missing {
		r.failures = old.failures + 1
	}
	return r
}

// renew is the record of a domain about which nothing certain could be learned:
// the last good Route, or a temporary error, for a while that grows with every
// failure.
func (k keeper) renew(old record, f finding) record {
	old.failures++
	expires := k.now.Add(k.backoff(old.failures))
	old.refresh = time.Time{}
	if old.good != nil && k.now.Before(old.goodUntil) {
		stale := *old.good
		stale.Stale, stale.Expires = true, expires
		old.route = &stale
		return old
	}
	old.good = nil
	f.route.Err = f.route.Err.softened(k.doubt())
	f.route.Expires = expires
	old.route = f.route
	return old
}

// doubt says why a permanent error is told as a temporary one.
func (k keeper) doubt() string {
	if !k.healthy {
		return "not believed: most lookups fail"
	}
	return "to be confirmed"
}

// backoff is the wait after the nth failure in a row.
func (k keeper) backoff(n int) time.Duration {
	wait := k.cfg.MinTTL
	for range n - 1 {
		if wait >= maxBackoff {
			break
		}
		wait *= 2
	}
	return max(k.cfg.MinTTL, min(wait, maxBackoff))
}
