package route

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// maxWaiters bounds the callbacks that wait for one name.
	maxWaiters = 4096
	// slowShare: slow names may have one more question outstanding for so many
	// of the others. They have room of their own, because a dead name among
	// them keeps it for seconds.
	slowShare = 4
)

// Resolver finds and remembers Routes. Its methods may be called from any
// goroutine and never wait for the network. Domains are given as Domain
// returns them.
type Resolver struct {
	log      hclog.Logger
	searcher *searcher
	ex       exchanger
	around   *surroundings
	faulty   atomic.Bool    // a fault of our own was logged with its stack
	wg       sync.WaitGroup // the lookups under way

	mu      sync.Mutex
	cache   *lru[string, *record]
	jobs    map[string]*job // every name in the backlog or being looked up
	backlog backlog
	windows []*window // of quick lookups and of slow ones
	health  health
	status  Status
	ctx     context.Context    // of the lookups; set by Run
	end     context.CancelFunc // ends ctx
	stopped bool
}

// Status counts a Resolver's work since it was made, and says where it stands.
type Status struct {
	Lookups  uint64 `json:"lookups"`   // names looked up at the name servers
	Failures uint64 `json:"failures"`  // lookups without a certain answer
	Hits     uint64 `json:"hits"`      // questions answered from the cache
	Misses   uint64 `json:"misses"`    // questions that had to wait
	Stale    uint64 `json:"stale"`     // answers from the cache that had expired
	Dropped  uint64 `json:"dropped"`   // names not looked up because too many were waiting
	InFlight int    `json:"in_flight"` // names being looked up
	Waiting  int    `json:"waiting"`   // names that no lookup has begun for
	Entries  int    `json:"entries"`   // domains in the cache
	Healthy  bool   `json:"healthy"`   // see Resolver.Healthy
}

// New makes a Resolver. Its errors are those of the configuration, of
// cfg.Local, or of /etc/resolv.conf when cfg names no servers.
func New(cfg Config, table Table, log hclog.Logger) (*Resolver, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return newFrom("/etc/resolv.conf", cfg, table, log)
}

// newFrom makes a Resolver that finds its name servers in a file.
func newFrom(file string, cfg Config, table Table, log hclog.Logger) (*Resolver, error) {
	c := newClient(nil)
	if cfg.Dial != nil {
		c.dial = cfg.Dial
	}
	r := assemble(cfg.withDefaults(), table, log, c)
	r.around = &surroundings{r: r, client: c, file: file}
	if err := r.around.look(); err != nil {
		return nil, fmt.Errorf("resolver: %w", err)
	}
	return r, nil
}

// assemble makes a Resolver upon any exchanger.
func assemble(cfg Config, table Table, log hclog.Logger, ex exchanger) *Resolver {
	r := &Resolver{
		log:     log,
		ex:      ex,
		cache:   newLRU[string, *record](cfg.Entries),
		jobs:    make(map[string]*job),
		windows: []*window{{}, {slow: true}},
	}
	r.bound(cfg)
	r.searcher = newSearcher(cfg, table)
	r.around = &surroundings{r: r}
	return r
}

// bound sets the limits; r.mu is held, but for a new Resolver.
func (r *Resolver) bound(cfg Config) {
	r.cache.resize(cfg.Entries)
	r.backlog.limit = cfg.Waiting
	for _, w := range r.windows {
		w.limit = cfg.Parallel
		if w.slow {
			w.limit /= slowShare
		}
		for _, f := range w.line {
			f.wants = min(f.wants, w.limit) // more would never fit
		}
	}
}

// Reload replaces the configuration and the table. Every Route is found again
// when it is asked for; one that leads somewhere is used until then. Lookups
// under way end by the rules that they began with. Its errors are those of New;
// after the configuration's own, nothing has changed. Name servers and
// addresses that cannot be read stay as they were.
func (r *Resolver) Reload(cfg Config, table Table) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	r.searcher.rules.Store(&rules{cfg, table})
	r.searcher.memo.forget()
	r.mu.Lock()
	r.bound(cfg)
	r.fillWindows()
	r.mu.Unlock()
	return r.around.relook()
}

// Run begins to look names up and returns. The lookups end when ctx does or Stop
// is called; Stop joins them. It must be called once.
func (r *Resolver) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		cancel()
		return
	}
	r.ctx, r.end = ctx, cancel
	context.AfterFunc(ctx, r.close)
	r.wg.Go(func() { r.around.watch(ctx) }) // ends with ctx
	r.fillWindows()
}

// Stop ends the lookups and waits for them. Every callback that still waits gets a
// temporary error. The cache goes on answering.
func (r *Resolver) Stop() {
	r.close()
	r.wg.Wait()
	r.mu.Lock()
	jobs := r.jobs
	r.jobs = nil
	r.backlog = backlog{}
	r.mu.Unlock()
	for _, j := range jobs {
		j.tell(failed(j.domain, temporary("4.3.2", j.domain+" is not looked up: Millrace is stopping")))
	}
}

// close makes the lookups end. It waits for none of them: the end of Run's context
// calls it too, on a goroutine of the context package.
func (r *Resolver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.end != nil {
		r.end()
	}
}

// Want says that mail for a domain has been queued: the lookup starts now,
// unless the answer is known. When too many names are waiting it does nothing;
// Lookup and Await try again.
func (r *Resolver) Want(domain string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, want := r.known(domain); want {
		r.start(domain)
	}
}

// Lookup returns the Route of a domain, or nil if none is known; then a lookup is
// under way. In the last part of its life a Route is refreshed in the background,
// and stays until the new one is there.
func (r *Resolver) Lookup(domain string) *Route {
	r.mu.Lock()
	defer r.mu.Unlock()
	rt, want := r.known(domain)
	r.countAnswer(rt)
	if want {
		r.start(domain)
	}
	return rt
}

// Await calls f exactly once with the Route of a domain: at once, from this
// goroutine, if it is known, or later from one of the resolver's. f must not
// block. It gets a temporary error when too much is waiting or the resolver is
// stopped.
func (r *Resolver) Await(domain string, f func(*Route)) {
	if rt := r.await(domain, f); rt != nil {
		f(rt)
	}
}

// await returns the Route for calling f now; nil if f waits. Await calls f without
// the lock.
func (r *Resolver) await(domain string, f func(*Route)) *Route {
	r.mu.Lock()
	defer r.mu.Unlock()
	rt, want := r.known(domain)
	r.countAnswer(rt)
	var j *job
	if want {
		j = r.start(domain)
	}
	if rt != nil {
		return rt
	}
	switch {
	case r.stopped:
		return failed(domain, temporary("4.3.2", domain+" is not looked up: Millrace is stopping"))
	case j == nil || len(j.waiters) >= maxWaiters:
		return failed(domain, temporary("4.3.2", domain+" is not looked up: too many DNS lookups are waiting"))
	}
	j.waiters = append(j.waiters, f)
	return nil
}

// Healthy reports whether lookups work. It is false while more than half of the
// recent ones fail: the fault is then on our side, and mail that has no Route
// should neither be bounced nor grow older. Routes that are known remain good.
func (r *Resolver) Healthy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health.ok()
}

// Status returns the counters.
func (r *Resolver) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.Waiting = r.backlog.len()
	s.Entries = r.cache.len()
	s.Healthy = r.health.ok()
	return s
}

// known finds the Route that may be given out now, and says whether a lookup should
// be started; r.mu is held.
func (r *Resolver) known(domain string) (*Route, bool) {
	now := time.Now()
	rec, ok := r.cache.get(domain)
	doubted := ok && rec.guard != r.searcher.guard.Load()
	if ok && !doubted {
		if rt, want := rec.at(now); rt != nil || !rec.instant {
			return rt, want
		}
	}
	domain = strings.Clone(domain) // it may be a piece of a message, which is not kept
	rt := r.searcher.instant(domain)
	switch {
	case rt != nil:
	case doubted:
		rt, _ = rec.at(now)
		return rec.doubted(rt)
	default:
		return nil, true
	}
	rt.Expires = now.Add(r.searcher.rules.Load().MaxTTL)
	r.cache.put(domain, &record{route: rt, instant: true, guard: r.searcher.guard.Load()})
	return rt, false
}

// countAnswer books an answer; r.mu is held.
func (r *Resolver) countAnswer(rt *Route) {
	switch {
	case rt == nil:
		r.status.Misses++
	case rt.Stale:
		r.status.Stale++
		r.status.Hits++
	default:
		r.status.Hits++
	}
}

// start finds or makes the job of a name; nil if that is impossible. r.mu is
// held.
func (r *Resolver) start(domain string) *job {
	if r.stopped {
		return nil
	}
	if j, ok := r.jobs[domain]; ok {
		return j
	}
	domain = strings.Clone(domain) // as in known
	j := &job{domain: domain, lane: fresh}
	if rec, ok := r.cache.get(domain); ok {
		j.lane = rec.lane()
	}
	if !r.backlog.push(j) {
		r.status.Dropped++
		return nil
	}
	r.jobs[domain] = j
	r.fillWindows()
	return j
}
