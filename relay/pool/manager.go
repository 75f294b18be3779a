package pool

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
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

// Handler is the output handler from which the manager pulls. relay.Handler is one. For one message the manager calls
// Next, Visit, Begin and Settle.
type Handler interface {
	Next(ctx context.Context) *relay.Queue
	Visit(*relay.Queue) *relay.Visit
	Serve(*relay.Line, time.Time) *relay.Visit
	Reroute(*relay.Line, *relay.Visit)
	Postpone(*relay.Visit, relay.Reason)
	Begin(visits []*relay.Visit, v *relay.Visit, room int, sameSite func(relay.Key) bool) ([]*relay.Visit, error)
	Foresee(l *relay.Line, most int)
	Settle(*relay.Visit)
	Recycle(*relay.Visit)
	Ready(*relay.Queue)
	Lined() int
	Unwritable() error
}

// Brake keeps mail from a site that refuses whoever sends it.
type Brake interface {
	// Holds is why mail of a flow must not be sent to a site now, or the zero Reason. It is asked before each visit.
	Holds(flow relay.FlowName, site string) relay.Reason
	// Spares reports whether a recipient of v, whom the site has refused for good in these words, waits with the rest of the flow's mail
	// and does not bounce.
	Spares(v *relay.Visit, site string, reply smtp.Reply) bool
}

// Manager is the connection pool manager: it pulls queues from the output handler while channels are free, and gives each
// to an agent of its site or to the site's line.
type Manager struct {
	cfg      atomic.Pointer[Config]
	smtp     atomic.Pointer[smtp.Config]
	inClear  atomic.Pointer[smtp.Config] // the same without TLS
	policy   atomic.Pointer[Policy]
	paused   atomic.Pointer[map[string]relay.Reason] // of Pause, by the form of siteName; nil: it was not called
	sources  *Sources
	handler  Handler
	router   Router
	hostname string
	inject   string                 // Deps.Inject
	noMTA    bool                   // Deps.NoMTA
	mta      atomic.Pointer[string] // the name that our own MTA gives itself; "" until it is known
	newLine  func() *relay.Line     // Deps.Line
	log      hclog.Logger
	hosts    hosts
	machine  machine
	budget   *relay.Budget
	brake    Brake
	lessons  lessons
	agenda   agenda
	channels *Channels
	agents   sync.WaitGroup

	assemblies sync.Pool // of *relay.Assembly

	stopped  chan struct{} // closed by Stop: agents finish the transaction they are in
	cut      context.Context
	cutAll   context.CancelFunc // ends what is still open when Stop runs out of time
	unsent   context.Context    // of connections in the making, and of messages whose body no receiver has yet
	holdBack context.CancelFunc // ends those, at the beginning of Stop

	slowAfter time.Duration // without an answer, before an agent counts as slow
	connected func(relay.Connection)

	idle atomic.Int64 // idle connections, all sites together
	lost atomic.Int64 // sites that stand for a failed lookup

	// For Totals.
	working atomic.Int64 // agents of sites
	opened  atomic.Int64 // connections
	closed  atomic.Int64 // sites, by their shutters

	swept time.Time // when tend last looked through hosts; touched by the goroutine of Run alone

	mu    sync.Mutex
	sites map[siteID]*Site

	faults sync.Map // of noteFault: the texts logged with a stack

	life     sync.Mutex
	stopping bool
}

// Deps are what the manager works with.
type Deps struct {
	Handler  Handler
	Router   Router
	Channels int                // agents at work at the same time, at sites that are known to work
	Slow     int                // agents whose receiver has not answered for a while; at least four for each channel
	Hostname string             // the name with which our own MTA greets
	Inject   string             // the name under which Router knows our own MTA, where ClassInject goes
	NoMTA    bool               // there is no such MTA: ClassInject goes where its domain says, like all mail
	Line     func() *relay.Line // makes a line of the configured order
	SMTP     smtp.Config
	Log      hclog.Logger
	Policy   Policy
	Sources  *Sources      // nil: mail leaves as SMTP says
	Budget   *relay.Budget // charged for sites and connections; nil: as much memory as there is

	Brake Brake // nil: no mail is kept from a site for what it has said of others

	// Connected is told of each connection made, on the goroutine that made it, which it must not block.
	Connected func(relay.Connection)
}

// New returns a manager without connections. cfg has been validated.
func New(cfg Config, deps Deps) *Manager {
	ctx, cancel := context.WithCancel(context.Background())
	if deps.Budget == nil {
		deps.Budget = relay.NewBudget(0)
	}
	if deps.Sources == nil {
		deps.Sources, _ = CompileSources(nil, deps.SMTP) // no tables have no mistakes
	}
	m := &Manager{
		budget: deps.Budget, brake: deps.Brake, sources: deps.Sources,
		handler: deps.Handler, router: deps.Router, hostname: deps.Hostname, inject: deps.Inject, noMTA: deps.NoMTA, newLine: deps.Line, log: deps.Log,
		channels: newChannels(deps.Channels, deps.Slow), stopped: make(chan struct{}), cut: ctx, cutAll: cancel,
		sites: make(map[siteID]*Site), machine: machine{log: deps.Log}, agenda: newAgenda(), slowAfter: slowAfter, connected: deps.Connected,
	}
	m.assemblies.New = func() any { return new(relay.Assembly) }
	m.unsent, m.holdBack = context.WithCancel(ctx)
	m.cfg.Store(&cfg)
	m.policy.Store(deps.Policy.withDefaults(cfg))
	m.NoteMTA("")
	m.SetSMTP(deps.SMTP)
	return m
}

// NoteMTA says by which name our own MTA greets. A host that DNS names and that greets so is our MTA.
func (m *Manager) NoteMTA(name string) { m.mta.Store(&name) }

// SetSMTP replaces the settings of the wire. Connections that are open keep the settings they were made with.
func (m *Manager) SetSMTP(cfg smtp.Config) {
	plain := cfg
	plain.TLS = smtp.TLSNone
	m.inClear.Store(&plain)
	m.smtp.Store(&cfg)
}

// wire is the settings of a connection on these terms.
func (m *Manager) wire(t Terms) *smtp.Config {
	if t.TLS == "none" {
		return m.inClear.Load()
	}
	return m.smtp.Load()
}

// Reload replaces the configuration and the policy, which have been validated, and the number of channels. order gives each site's
// line its order. What is sent just now is sent to its end: agents and connections that are too many end behind it, with QUIT. It
// walks over all sites.
func (m *Manager) Reload(cfg Config, policy Policy, channels, slow int, order func(*relay.Line)) {
	m.cfg.Store(&cfg)
	m.policy.Store(policy.withDefaults(cfg))
	m.channels.resize(channels, slow)
	now := time.Now()
	for _, s := range m.all() {
		order(s.line)
		s.pace.shorten(now)
		s.agree(now)
		s.tend(now)
	}
}

// Run carries queues and looks after the sites until ctx is done. Agents are ended by Stop.
func (m *Manager) Run(ctx context.Context) {
	var dispatcher sync.WaitGroup
	dispatcher.Go(func() { m.dispatch(ctx) }) // ends with ctx
	defer dispatcher.Wait()
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.agenda.sooner:
		case <-timer.C:
			m.guard("site keeper", func() { m.tend(time.Now()) })
		}
		timer.Reset(m.agenda.wait(time.Now()))
	}
}

// dispatch pulls a queue whenever a channel is free and finds out what can be done for the queue. Sites that take a channel without
// it leave one for each queue in line (Manager.spare).
func (m *Manager) dispatch(ctx context.Context) {
	for m.channels.await(ctx) {
		q := m.handler.Next(ctx)
		if q == nil || m.ending() {
			return
		}
		m.guard("dispatcher", func() { m.carry(q) })
	}
}

// guard runs f and survives a fault of our own in it: one message must not end the daemon, and come back with every start.
func (m *Manager) guard(who string, f func()) {
	defer func() {
		if fault := recover(); fault != nil {
			m.noteFault(who, fault)
		}
	}()
	f()
}

// noteFault logs a fault of our own, with its stack the first time it is seen.
func (m *Manager) noteFault(who string, fault any) {
	args := []any{"in", who, "panic", fault}
	if _, seen := m.faults.LoadOrStore(fmt.Sprint(who, fault), true); !seen {
		args = append(args, "stack", string(debug.Stack()))
	}
	m.log.Error("internal error: please report it", args...)
}

// carry gives q to its site, bounces it when its domain takes no mail, hands it back when its route leads to ourselves, or
// claims it until its route is known.
func (m *Manager) carry(q *relay.Queue) {
	r := m.router.Lookup(m.destination(q.Key))
	switch {
	case r == nil && !m.machine.goAhead(time.Now()):
		m.lostSite(unasked(m.destination(q.Key))).hold(q)
	case r == nil:
		m.await(q)
	case leadsBack(q, r):
		m.launch(channelToken, func() token { m.returnQueue(q, routeReply(r.Err)); return channelToken }, func() {})
	case r.Err != nil && r.Err.Permanent && m.router.Healthy():
		m.launch(channelToken, func() token { m.refuse(q, r); return channelToken }, func() {})
	default:
		m.send(q, r)
	}
}

// send gives q to the site to which r leads, from the source whose turn it is. Mail that no source may send today goes back to our
// MTA: nothing waits for a warm-up plan.
func (m *Manager) send(q *relay.Queue, r *route.Route) {
	now := time.Now()
	p, ok := m.pathOf(q, r, now)
	if !ok {
		why := m.lacking(q, p, r, now)
		m.launch(channelToken, func() token { m.returnQueue(q, why); return channelToken }, func() {})
		return
	}
	m.site(p, r).carry(q)
}

// destination is the name to look up for a queue.
func (m *Manager) destination(key relay.Key) string {
	if m.forMTA(key.Class) {
		return m.inject
	}
	return key.Domain
}

// forMTA reports whether mail of a class goes to our own MTA.
func (m *Manager) forMTA(class string) bool { return class == relay.ClassInject && !m.noMTA }

// await claims q until its route is known.
func (m *Manager) await(q *relay.Queue) {
	if !q.Claim(relay.WaitFor(relay.ReasonDNS, q.Domain, "DNS lookup under way", time.Time{})) {
		return
	}
	ahead := m.machine.waits().Waits() // it went ahead in a shortage, see carry
	m.router.Await(m.destination(q.Key), func(r *route.Route) {
		q.Unclaim()
		switch lacks := r.Err != nil && r.Err.Cause == route.Shortage; {
		case lacks:
			m.machine.noteShortage(time.Now(), r.Err.Text)
			m.lostSite(r).hold(q)
			return
		case ahead:
			m.machine.noteConnected()
		}
		if r.Err != nil && !r.Err.Permanent && !leadsBack(q, r) {
			// The failure may be of the moment and not be kept: without a pause we would ask again at once.
			s := m.lostSite(r)
			s.pace.Failed(time.Now(), r.Err.Error())
			s.hold(q)
			return
		}
		m.handler.Ready(q)
	})
}

// unasked is the route of a domain for which no name server can be asked, because this machine lacks what a socket needs.
func unasked(domain string) *route.Route {
	return &route.Route{Domain: domain, Err: &route.Error{Code: 451, Enhanced: "4.4.3", Text: "no name server can be asked now", Cause: route.Shortage}}
}

// launch starts work in a goroutine of its own, with a token of the given kind. work returns the token that it holds at its
// end; after runs when that token has been given back. launch reports false, and starts nothing, when there is no such token or the manager is stopping.
func (m *Manager) launch(t token, work func() token, after func()) bool {
	m.life.Lock()
	defer m.life.Unlock()
	if m.stopping || !m.channels.acquire(t) {
		return false
	}
	m.budget.Charge(relay.AccountSites, agentCost)
	m.agents.Go(func() { // ends as the package comment lists
		m.channels.giveBack(work())
		after()
		m.budget.Refund(relay.AccountSites, agentCost)
	})
	return true
}

// refuse bounces the nodes of a queue whose domain does not take mail.
func (m *Manager) refuse(q *relay.Queue, r *route.Route) {
	for v := m.handler.Visit(q); v != nil; v = m.handler.Visit(q) {
		v.FailAll(relay.Bounced, routeReply(r.Err))
		m.handler.Settle(v)
	}
}

// leadsBack reports whether only our own MTA knows where the mail of q goes. Mail for the MTA itself is never handed back: it
// would go in a circle.
func leadsBack(q *relay.Queue, r *route.Route) bool {
	return r.Err != nil && r.Err.Cause == route.Ourselves && q.Class == relay.ClassRemote
}

// returnQueue gives the nodes of a queue back to our MTA.
func (m *Manager) returnQueue(q *relay.Queue, why smtp.Reply) {
	for v := m.handler.Visit(q); v != nil; v = m.handler.Visit(q) {
		v.HandBack(why)
		m.handler.Settle(v)
	}
}

// lostSite is the site of a route that failed for now: one of its own that cannot be reached, so that a domain without DNS is
// treated like one whose hosts are down.
func (m *Manager) lostSite(r *route.Route) *Site {
	return m.site(path{siteID{key: siteKey(r)}, m.general()}, r)
}

// site finds or makes the site of a path.
func (m *Manager) site(p path, r *route.Route) *Site {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sites[p.siteID]
	if s == nil {
		s = newSite(m, p)
		m.lessons.recall(s, time.Now())
		m.sites[p.siteID] = s
		m.budget.Charge(relay.AccountSites, siteCost)
	}
	s.update(r, p.terms)
	return s
}

// How often the manager looks into its agenda: at least, and at most.
const (
	tick      = 250 * time.Millisecond
	leastTick = 5 * time.Millisecond
)

// tend looks after the sites that are due. A site that has been of no use for a while is forgotten, because most domains of a
// list are seen once.
func (m *Manager) tend(now time.Time) {
	for _, s := range m.agenda.dueAt(now) {
		if !m.forget(s, now) {
			s.tend(now)
		}
	}
	if now.Sub(m.swept) > time.Minute {
		m.swept = now
		m.hosts.tend(now)
		m.lessons.tend(now)
	}
}

// forget takes s out of the map if nothing would be lost with it.
func (m *Manager) forget(s *Site, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.forgettable(now) {
		return false
	}
	if m.sites[s.id()] == s { // another may have come into its place: Reload tends a site that was just forgotten
		m.lessons.shelve(s, now)
		delete(m.sites, s.id())
		m.budget.Refund(relay.AccountSites, siteCost)
		if s.lost {
			m.lost.Add(-1)
		}
	}
	s.pace.shut.set(byFailure|byOrder, false) // also of one that was counted again after it was forgotten
	return true
}

// Bytes that a site takes with its route, an agent at work with its connection, and an idle connection: measured, rounded up.
const (
	siteCost  = 1 << 10
	agentCost = 32 << 10
	idleCost  = 16 << 10
)

// countIdle counts n idle connections more, and returns how many there are at all sites together.
func (m *Manager) countIdle(n int) int64 {
	m.budget.Charge(relay.AccountSites, int64(n)*idleCost)
	return m.idle.Add(int64(n))
}

// all is the sites of this moment: each is looked after outside of the manager's lock.
func (m *Manager) all() []*Site {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.sites))
}

// Stop waits for the replies to messages that receivers have whole. All other messages are put back at once, whatever they wait
// for: a connection, the journal, or a reply before the body. When ctx is done first, connections that are still open cutGrace
// later are cut. Their messages stay queued and may then be delivered twice.
func (m *Manager) Stop(ctx context.Context) {
	m.life.Lock()
	if !m.stopping {
		m.stopping = true
		close(m.stopped)
		m.holdBack()
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
		s.conns.closeIdle(time.Now())
	}
}

// cutGrace is how long transactions under way are given when there is no more time: a transaction that is cut behind its
// body may be delivered twice.
const cutGrace = 5 * time.Second

func (m *Manager) cutLate(done <-chan struct{}) {
	late := time.NewTimer(cutGrace)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		m.log.Warn("cutting connections that did not finish in time")
		m.cutAll()
		<-done
	}
}

// ending reports whether agents must take no more visits.
func (m *Manager) ending() bool {
	select {
	case <-m.stopped:
		return true
	default:
		return false
	}
}

// crowded reports that queues stand in line while every channel is in use.
func (m *Manager) crowded() bool { return m.channels.full(channelToken) && m.handler.Lined() > 0 }

// spare reports that more channels are free than queues stand in line. A channel that has just come free belongs to the first queue
// of the line, although the dispatcher may not have pulled that queue yet.
func (m *Manager) spare() bool {
	free := m.channels.free()
	return free > 0 && free > m.handler.Lined()
}
