package route

import (
	"context"
	"time"
)

// work is the life of one worker goroutine: it looks up one name after the other
// and ends when nextJob returns nil.
func (r *Resolver) work(ctx context.Context) {
	for j, p := r.nextJob(); j != nil; j, p = r.nextJob() {
		f := r.searcher.find(ctx, j.domain, p)
		switch {
		case ctx.Err() != nil:
			// The finding was cut short by the end of ctx, so it counts for nothing. Stop calls back.
			r.retire(j)
		case f.silent && j.lane != slow && r.demote(j):
		default:
			r.conclude(j, f)
		}
	}
}

// nextJob waits for a job; nil means that the worker has to end.
func (r *Resolver) nextJob() (*job, patience) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.stopped {
			return nil, patience{}
		}
		if j := r.backlog.pop(); j != nil {
			r.status.InFlight++
			return j, r.patience(j)
		}
		r.wake.Wait()
	}
}

// patience is how long a job may take; r.mu is held.
func (r *Resolver) patience(j *job) patience {
	if j.lane != slow {
		return patience{total: r.cfg.Quick, try: r.cfg.Quick, tries: 2}
	}
	p := patience{total: 2 * r.cfg.Timeout, try: r.cfg.Timeout, tries: 3}
	if rec, ok := r.cache.get(j.domain); ok {
		p.first = rec.denied // another server has to deny the name as well
	}
	return p
}

// retire gives a worker back without a result.
func (r *Resolver) retire(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(j)
}

// release books the end of a lookup; r.mu is held. It wakes nobody: the same worker
// takes the job that it makes room for.
func (r *Resolver) release(j *job) {
	r.status.InFlight--
	r.backlog.done(j)
}

// demote puts a job that kept us waiting into the slow lane; false means that there
// is no room. The job is copied: release must still see the lane in which the old
// one ran.
func (r *Resolver) demote(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	again := &job{domain: j.domain, waiters: j.waiters, lane: slow}
	if !r.backlog.push(again) {
		return false
	}
	r.release(j)
	r.jobs[j.domain] = again
	r.wake.Signal()
	return true
}

// conclude puts a finding into the cache and runs the callbacks that wait for it.
func (r *Resolver) conclude(j *job, f finding) {
	rt, turned := r.book(j, f)
	if turned {
		r.report()
	}
	j.tell(rt)
}

// book puts a finding into the cache and the counters. turned says that the
// resolver has become healthy, or stopped being so.
func (r *Resolver) book(j *job, f finding) (rt *Route, turned bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var old record
	if rec, ok := r.cache.get(j.domain); ok {
		old = *rec
	}
	before := r.health.ok()
	r.health.book(f.verdict, &old)
	k := keeper{cfg: &r.cfg, now: time.Now(), healthy: r.health.ok()}
	rec := k.update(old, f)
	r.cache.put(j.domain, &rec)
	r.release(j)
	r.status.Lookups++
	if f.verdict == outage || f.verdict == unclear {
		r.status.Failures++
	}
	delete(r.jobs, j.domain)
	return rec.route, before != k.healthy
}

// report tells the log that the resolver fails, or works again.
func (r *Resolver) report() {
	if r.Healthy() {
		r.log.Info("DNS works again")
		return
	}
	r.log.Warn("most DNS lookups fail: no mail is bounced for want of a route")
}
