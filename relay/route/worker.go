package route

import (
	"runtime/debug"
	"time"
)

// work is one lookup, in a goroutine that launch starts.
func (r *Resolver) work(f *flight) {
	defer f.cancel()
	found := r.survive(f)
	switch {
	case r.ctx.Err() != nil:
		// The finding was cut short by the end of ctx, so it counts for nothing. Stop calls back.
		r.abandon(f)
	case found.silent && r.postpone(f):
	default:
		r.conclude(f, found)
	}
}

// survive looks a name up. A fault of our own, which some answer may bring about,
// costs the name a temporary error: it must not end the daemon, and come back with
// every start.
func (r *Resolver) survive(f *flight) (found finding) {
	defer func() {
		if fault := recover(); fault != nil {
			args := []any{"in", "dns", "domain", f.job.domain, "panic", fault}
			if !r.faulty.Swap(true) {
				args = append(args, "stack", string(debug.Stack()))
			}
			r.log.Error("internal error: please report it", args...)
			err := temporary("4.3.0", "lookup of "+f.job.domain+": internal error")
			found = finding{verdict: unclear, route: failed(f.job.domain, err), guard: r.searcher.guard.Load()}
		}
	}()
	return r.searcher.find(f.ctx, f.job.domain, f.patience, f)
}

// patience is how long a job may take; r.mu is held.
func (r *Resolver) patience(j *job) patience {
	cfg := r.searcher.rules.Load()
	if j.lane != slow {
		return patience{total: cfg.Quick, try: cfg.Quick, tries: 2}
	}
	p := patience{total: 2 * cfg.Timeout, try: cfg.Timeout, tries: 3}
	if rec, ok := r.cache.get(j.domain); ok {
		p.first = rec.denied // another server has to deny the name as well
	}
	return p
}

// abandon ends a lookup without a result.
func (r *Resolver) abandon(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.land(f)
}

// land books the end of a lookup, and lets others begin; r.mu is held.
func (r *Resolver) land(f *flight) {
	r.status.InFlight--
	f.w.vacate(f)
	r.fillWindows()
}

// postpone puts a name that kept us waiting into the queue of those that
// stepped aside for others, or of the slow. It is false when the name has had all
// the patience there is, or when there is no room.
func (r *Resolver) postpone(f *flight) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	later := &job{domain: f.job.domain, waiters: f.job.waiters, lane: slow}
	switch {
	case f.aside:
		later.lane, later.looks = f.w.aside(), f.job.looks+1
	case f.w.slow:
		return false
	}
	if !r.backlog.push(later) {
		return false
	}
	r.jobs[later.domain] = later
	r.land(f)
	return true
}

// conclude puts a finding into the cache and runs the callbacks that wait for it.
func (r *Resolver) conclude(f *flight, found finding) {
	rt, turned := r.book(f, found)
	if turned {
		r.report(found)
	}
	f.job.tell(rt)
}

// book puts a finding into the cache and the counters; the cache keeps no
// error of a lookup that this machine could not make. turned says that the resolver has
// become healthy, or stopped being so.
func (r *Resolver) book(f *flight, found finding) (rt *Route, turned bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	domain := f.job.domain
	var old record
	if rec, ok := r.cache.get(domain); ok {
		old = *rec
	}
	before := r.health.ok()
	r.health.book(found.verdict, &old)
	k := keeper{cfg: &r.searcher.rules.Load().Config, now: time.Now(), healthy: r.health.ok()}
	rec := k.update(old, found)
	if found.verdict != lacking || rec.route.Err == nil {
		rec.guard = found.guard
		r.cache.put(domain, &rec)
	}
	r.status.Lookups++
	if found.verdict == outage || found.verdict == unclear || found.verdict == lacking {
		r.status.Failures++
	}
	delete(r.jobs, domain)
	r.land(f)
	return rec.route, before != k.healthy
}

// report tells the log that the resolver fails, with the last failure, or works
// again.
func (r *Resolver) report(last finding) {
	switch {
	case r.Healthy():
		r.log.Info("DNS works again")
	case last.route.Err == nil:
		r.log.Warn("most DNS lookups fail: no mail is bounced for want of a route")
	default:
		r.log.Warn("most DNS lookups fail: no mail is bounced for want of a route", "last", last.route.Err.Text)
	}
}
