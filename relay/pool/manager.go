// Package pool lends connections to sites. A Site is one next hop, the MX set a domain resolves to; limits, open
// connections and closed doors belong to the site, because millions of domains share a few of them.
//
// Queues come in through Carry. For each there is a route to wait for, a site to find, and then either an agent (the one
// goroutine of a channel, which empties queues over a connection) or a place in the site's line. The package imports
// route for the answers it is given; how they are found is behind the Router interface.
package pool

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

// Router says where a domain's mail goes. route.Resolver is one.
type Router interface {
	Lookup(domain string) *route.Route             // nil: not known yet
	Await(domain string, known func(*route.Route)) // known is called once, when it is
	Healthy() bool                                 // false: the resolver is in trouble, and nobody is bounced for what it says
}

// Handler is the output handler the manager carries for. relay.Handler is one.
type Handler interface {
	Visit(*relay.Queue) *relay.Visit
	Companions(v *relay.Visit, room int, sameSite func(relay.Key) bool) []*relay.Visit
	Begin(*relay.Visit)
	Settle(*relay.Visit)
	Unwritable() error // why nothing may be sent now
	Ready(*relay.Queue)
	Unpark(*relay.Queue)
	Acquire() bool
	Release()
	Crowded() bool
}

// Manager is the connection pool manager. It implements relay.Carrier.
type Manager struct {
	cfg       Config
	parts     Parts
	hosts     hosts
	probation probation
	agents    sync.WaitGroup
	stopped   chan struct{} // closed by Stop: agents finish the transaction they are in
	cut       context.Context
	cutAll    context.CancelFunc // ends what is still open when Stop runs out of time

	idle  atomic.Int64 // idle connections, all sites together
	swept time.Time    // when Run last looked through hosts

	mu    sync.Mutex // before a site's
	sites map[string]*Site

	life     sync.Mutex // after a site's
	stopping bool
}

// Parts are what the manager works with.
type Parts struct {
	Handler  Handler
	Router   Router
	Channels int                // that the handler has
	Inject   string             // the name under which Router knows our own MTA, where ClassInject goes
	Line     func() *relay.Line // makes a line of the configured order
	SMTP     smtp.Config
	Log      hclog.Logger
}

// New returns a manager without connections. cfg has been validated.
func New(cfg Config, parts Parts) *Manager {
	ctx, cancel := context.WithCancel(context.Background())
	return &Manager{
		cfg: cfg, parts: parts, stopped: make(chan struct{}), cut: ctx, cutAll: cancel,
		sites: make(map[string]*Site), probation: make(probation, probationRoom*max(parts.Channels, 1)),
	}
}

// Carry implements relay.Carrier.
func (m *Manager) Carry(q *relay.Queue) bool {
	if m.ending() {
		return false
	}
	r := m.parts.Router.Lookup(m.destination(q.Key))
	switch {
	case r == nil:
		m.await(q)
		return false
	case r.Err != nil && r.Err.Permanent && m.parts.Router.Healthy():
		return m.start(func() {
			defer m.parts.Handler.Release()
			m.refuse(q, r)
		})
	}
	return m.site(r).carry(q)
}

// destination is the name to look up for a queue.
func (m *Manager) destination(key relay.Key) string {
	if key.Class == relay.ClassInject {
		return m.parts.Inject
	}
	return key.Domain
}

// await parks q until its route is known.
func (m *Manager) await(q *relay.Queue) {
	if !q.Park() {
		return
	}
	q.Wait("DNS lookup under way", time.Time{})
	m.parts.Router.Await(m.destination(q.Key), func(r *route.Route) {
		if r.Err != nil && !r.Err.Permanent {
			// The failure may be of the moment and not be kept: without a pause we would ask again at once.
			q.Unpark()
			s := m.site(r)
			s.pace.Failed(time.Now(), r.Err.Error())
			s.hold(q)
			return
		}
		q.Wait("", time.Time{})
		m.parts.Handler.Unpark(q)
	})
}

// start runs an agent, unless the manager is stopping.
func (m *Manager) start(run func()) bool {
	m.life.Lock()
	defer m.life.Unlock()
	if m.stopping {
		return false
	}
	m.agents.Go(run) // ends when its queues are empty, or after Stop
	return true
}

// refuse bounces the nodes of a queue whose domain does not take mail.
func (m *Manager) refuse(q *relay.Queue, r *route.Route) {
	for v := m.parts.Handler.Visit(q); v != nil; v = m.parts.Handler.Visit(q) {
		v.FailAll(relay.Bounced, routeReply(r.Err))
		m.parts.Handler.Settle(v)
	}
}

// site finds or makes the site a route leads to. A route that failed for now leads to a site of its own that cannot be
// reached, so that a domain without DNS is treated like one whose hosts are down.
func (m *Manager) site(r *route.Route) *Site {
	key := siteKey(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sites[key]
	if s == nil {
		s = newSite(m, key)
		m.sites[key] = s
	}
	s.update(r)
	return s
}

func siteKey(r *route.Route) string {
	if r.Err != nil {
		return "dns:" + r.Domain
	}
	return r.Site
}

// Run closes idle connections and reopens closed sites until ctx is done.
func (m *Manager) Run(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.tend(time.Now())
		}
	}
}

// tend looks after every site; one that has been of no use for a while is forgotten.
func (m *Manager) tend(now time.Time) {
	m.forget(now)
	for _, s := range m.all() {
		s.tend(now)
	}
	if now.Sub(m.swept) > time.Minute {
		m.swept = now
		m.hosts.tend(now)
	}
}

func (m *Manager) forget(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.sites {
		if s.forgettable(now) {
			delete(m.sites, key)
		}
	}
}

// all is the sites of this moment, so that none is looked after under the manager's lock.
func (m *Manager) all() []*Site {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.sites))
}

// Stop lets every agent finish the transaction it is in. When ctx is done first, what is still open a moment later is
// cut; its messages stay queued and may then be delivered twice.
func (m *Manager) Stop(ctx context.Context) {
	m.life.Lock()
	if !m.stopping {
		m.stopping = true
		close(m.stopped)
	}
	m.life.Unlock()
	done := make(chan struct{})
	go func() { // ends with the agents, at the latest after the cut
		m.agents.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		m.cutLate(done)
	}
	for _, s := range m.all() {
		s.closeIdle(time.Now())
	}
}

// cutGrace is how long transactions under way are given when there is no more time: to cut one behind its body is to
// deliver it twice.
const cutGrace = 5 * time.Second

func (m *Manager) cutLate(done <-chan struct{}) {
	late := time.NewTimer(cutGrace)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		m.parts.Log.Warn("cutting connections that did not finish in time")
		m.cutAll()
		<-done
	}
}

// ending reports whether agents are to stop taking visits.
func (m *Manager) ending() bool {
	select {
	case <-m.stopped:
		return true
	default:
		return false
	}
}

// unwritable returns why nothing may be sent now, or nil.
func (m *Manager) unwritable() error { return m.parts.Handler.Unwritable() }

// probation counts the agents at sites of which nobody knows yet whether they answer: one each. They use none of the
// handler's channels, so that any number of dead sites leaves those to the sites that live.
type probation chan struct{}

// probationRoom is how many agents may be on probation, as a multiple of the channels.
const probationRoom = 4

func (p probation) enter() bool {
	select {
	case p <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p probation) leave() { <-p }

func (p probation) full() bool { return len(p) == cap(p) }

// crowded reports that so many sites are being tried that none should be waited for long.
func (p probation) crowded() bool { return len(p) > cap(p)/4 }
