package pool

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

// forgetAfter is how long a site without connections, queues or a closed door is remembered.
const forgetAfter = 10 * time.Minute

// Site is one next hop as one source address sees it: its hosts, the connections from there, the queues whose mail goes there, and
// how fast it may be fed. A receiver's limits are for an address, so another source has a site of its own there.
type Site struct {
	Key    string
	source *Source // nil: mail leaves as [smtp] says
	lost   bool    // it stands for a failed lookup

	m     *Manager
	pace  Pace
	line  *relay.Line // the queues that have nodes for this site; agents serve them there
	conns connections
	leads leads
	told  atomic.Int64 // messages since the journal was told last what to expect

	mu        sync.Mutex
	route     *route.Route
	terms     Terms
	agents    int       // at work here
	slow      int       // agents of them whose receiver has not answered for a while
	excess    int       // agents that end because the site may have fewer
	silent    int       // slow agents, and agents whose receiver has not answered about a message yet
	slowUntil time.Time // until then new agents get no channel, because one had to wait
	asked     time.Time // when an agent last asked for a visit
	took      time.Time // when the receiver last answered about a message of a slow agent
	trying    string    // what the agent that makes the first connection does now; "": there is none
	bounds    bounds
	waste     waste
	suspended map[string]relay.Reason // by the sender's domain: a [[reply]] rule lets its mail wait
	paused    relay.Reason            // an admin lets nothing be sent; see stopped
	ruled     map[string]time.Time    // until when a [[reply]] rule is not logged again
	again     time.Time               // no agent is of use before, because of the site's rate
	failed    time.Time               // when the line was last told that the site was tried in vain
	used      time.Time
	looked    time.Time // when a site without a route last asked for one

	due   time.Time // when it must be looked after; guarded by the manager's agenda, as is
	place int32     // in that agenda; -1: in none
}

func newSite(m *Manager, p path) *Site {
	kind, who := relay.ReasonSite, p.key
	domain, lost := strings.CutPrefix(p.key, dnsKey)
	if lost {
		kind, who = relay.ReasonDNS, domain
		m.lost.Add(1)
	}
	s := &Site{Key: p.key, source: p.source, lost: lost, m: m, line: m.newLine(), pace: newPace(&m.cfg, kind, who), waste: unknownWaste, used: time.Now(), place: -1}
	s.conns.count, s.conns.opened, s.pace.shut.total = m.countIdle, &m.opened, &m.closed
	m.agenda.plan(s, s.used.Add(forgetAfter))
	return s
}

// dnsKey begins the key of a site that stands for a domain whose route DNS could not tell. No host has a colon in its name.
const dnsKey = "dns:"

// siteKey is the key of the site to which r leads.
func siteKey(r *route.Route) string {
	if r.Err != nil {
		return dnsKey + r.Domain
	}
	return r.Site
}

func (s *Site) id() siteID { return siteID{s.Key, s.source} }

// update keeps the newest route and terms: hosts, addresses and rules may change while the site stays.
func (s *Site) update(r *route.Route, t Terms) {
	s.mu.Lock()
	s.route, s.terms, s.used = r, t, time.Now()
	s.notePause()
	s.noteOrder(s.used)
	s.mu.Unlock()
	s.pace.Limit(Limits{Connections: t.Connections, Rate: float64(t.Rate)})
}

// agree takes over rules that have changed, and ends idle connections that are too many.
func (s *Site) agree(now time.Time) {
	s.mu.Lock()
	r := s.route
	domain := r.Domain
	s.mu.Unlock()
	t := s.m.general()
	if r.Err == nil && domain != s.m.inject {
		rules := s.m.policy.Load().Rules
		if t = rules.For(r, domain); siteKey(r)+t.Split != s.Key { // a rule has given this domain a site of its own
			t = rules.For(r, "")
		}
	}
	s.mu.Lock()
	s.terms = t
	s.notePause()
	s.noteOrder(now)
	s.mu.Unlock()
	s.pace.Limit(Limits{Connections: t.Connections, Rate: float64(t.Rate)})
	s.shed(t.Connections)
}

// shed ends idle connections until no more than most are open.
func (s *Site) shed(most int) {
	s.mu.Lock()
	old := s.conns.surplus(s.agents, most)
	s.mu.Unlock()
	quitAll(old)
}

// carry puts q into the site's line, and starts an agent when the site may have one more and has work for it. Only the dispatcher
// calls carry: it has seen that a channel is free.
func (s *Site) carry(q *relay.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.used = now
	if q.Len() == 0 {
		s.admit(now)
		return
	}
	q.Resume() // the reason may be an old one: q stood in the handler's line since it was parked
	s.line.Push(q)
	if s.works(now) && s.room(now) && s.m.machine.goAhead(now) {
		s.start(now)
	}
	s.plan(now)
}

// works reports whether an agent could do something here now.
func (s *Site) works(now time.Time) bool {
	return s.m.handler.Unwritable() == nil && !now.Before(s.again)
}

// start starts an agent. It reports false when there is no token for it. The mutex is held.
func (s *Site) start(now time.Time) bool {
	switch {
	case !s.pace.Proven():
		return s.launch(probationToken, now)
	case s.isSlow(now) && s.launch(slowToken, now):
		return true
	}
	return s.launch(channelToken, now)
}

// launch starts an agent with a token of the given kind. The mutex is held.
func (s *Site) launch(t token, now time.Time) bool {
	a := newAgent(s, t)
	s.asked = now
	s.agents, s.silent = s.agents+1, s.silent+1
	if !s.m.launch(t, a.run, a.retire) {
		s.agents, s.silent = s.agents-1, s.silent-1
		return false
	}
	s.m.working.Add(1)
	if t == slowToken {
		s.slow++
	}
	return true
}

// slowFor is how long a site whose receiver kept an agent waiting counts as slow. The agents that it gets then need no channel: they
// would only wait with it.
const slowFor = 5 * time.Minute

// isSlow reports whether the site has kept an agent waiting lately. The mutex is held.
func (s *Site) isSlow(now time.Time) bool { return now.Before(s.slowUntil) }

// quickly is how many messages in a row an agent must be rid of, each in less than a fifth of what counts as slow, before its site is
// not slow any more.
const quickly = 5

// quick reports whether the site is not slow any more, for an agent that was rid of so many messages in such a time.
func (s *Site) quick(now time.Time, messages int, took time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if messages >= quickly && took < time.Duration(messages)*s.m.slowAfter/5 {
		s.slowUntil = time.Time{}
	}
	return !s.isSlow(now)
}

// soon is how long a queue waits for agents that are at work anyway. An agent that has not asked for work for longer is held
// up by its receiver, and the queue must not wait for it.
const soon = 200 * time.Millisecond

// room reports whether another agent would help now. If no more nodes wait than agents run here, and an agent asked for
// work in the last 200 ms, the agents will take these nodes too: do not start another. The mutex is held.
func (s *Site) room(now time.Time) bool {
	if s.agents > 0 && now.Sub(s.asked) < soon && !s.line.AtLeast(s.agents+1) {
		return false
	}
	return s.roomy(now)
}

// enlist starts one more agent, with a channel, when the site may have it and has work for it. The channels that queues in line are
// waiting for are theirs. The mutex is held.
func (s *Site) enlist(now time.Time) {
	if s.pace.Proven() && s.room(now) && s.line.AtLeast(1) && s.works(now) && s.m.spare() && s.m.machine.goAhead(now) {
		s.start(now)
	}
}

// few is how many agents of a site may wait for their receiver before it has answered any: one of them may have met a bad host.
// When half of all that may hang do so, one must do.
func (c *Channels) few() int {
	if 2*c.count[slowToken].Load() > c.most[slowToken].Load() {
		return 1
	}
	return 2
}

// roomy reports whether the site may have another agent. At first it has few, and one more for each whose receiver answers: a site
// that hangs holds few connections, and one that answers soon has its window. So has one that is slow and takes mail all the same, as
// long as there is plenty of room for what is slow. The mutex is held.
func (s *Site) roomy(now time.Time) bool {
	switch {
	case s.agents >= s.window(now):
		return false
	case s.silent < s.m.channels.few(), 2*s.silent <= s.agents:
		return true
	}
	return now.Sub(s.took) < slowlyAtLeast && s.m.channels.few() > 1
}

// slowlyAtLeast is how long after its last answer about a message a slow site counts as one that takes mail.
const slowlyAtLeast = 5 * time.Minute

// window is how many agents may be at work now. The mutex is held.
func (s *Site) window(now time.Time) int {
	if s.hours(now).Waits() {
		return 0
	}
	return s.pace.Window(now)
}

// admits reports whether a connection may be made now.
func (s *Site) admits(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window(now) > 0
}

// noteSlow counts an agent that has become slow, or has ended as one.
func (s *Site) noteSlow(n int) {
	s.mu.Lock()
	if s.slow += n; n > 0 {
		s.slowUntil = time.Now().Add(slowFor)
	}
	s.mu.Unlock()
}

// noteTook notes that the receiver has answered about a message, slowly.
func (s *Site) noteTook(now time.Time) {
	s.mu.Lock()
	s.took = now
	s.mu.Unlock()
}

// noteSilent counts an agent whose receiver has become silent, or has spoken.
func (s *Site) noteSilent(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent += n
	if n < 0 && s.line.Len() > 0 {
		s.admit(time.Now())
	}
}

// asks notes that an agent gets on with its work, and starts another if there is work for it. It reports true when the agent must
// end instead, because the site may have fewer agents now: only as many are told so as are too many.
func (s *Site) asks(now time.Time) (end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = now
	if s.agents-s.excess > s.window(now) {
		s.excess++
		return true
	}
	s.enlist(now)
	return false
}

// rest notes that no node may go for a while.
func (s *Site) rest(until time.Time) {
	s.mu.Lock()
	s.again = until
	s.mu.Unlock()
}

// injects reports whether the site is our own MTA.
func (s *Site) injects() bool { return s.current().Domain == s.m.inject }

// alone reports whether one agent at most is at work here.
func (s *Site) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.agents <= 1
}

// retire ends an agent: the site keeps its connection for the next agent, unless all sites together keep one for each
// channel already, and the line moves. excess says that asks told the agent to end.
func (s *Site) retire(c *smtp.Conn, excess bool) {
	if c != nil && (excess || s.m.countIdle(1) > s.m.channels.most[channelToken].Load()) {
		if !excess {
			s.m.countIdle(-1)
		}
		c.Quit()
		s.conns.noteOpen(-1)
		c = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents--
	s.m.working.Add(-1)
	if excess {
		s.excess--
	}
	s.used = time.Now()
	if c != nil {
		s.conns.keep(c, s.used)
	}
	s.admit(s.used)
	s.plan(s.used)
}

// admit gets the line on when the site may have an agent. While none is at work, the first queue goes to the output handler's line,
// where it waits for a channel. The mutex is held.
func (s *Site) admit(now time.Time) {
	switch {
	case s.m.ending() || !s.works(now) || !s.roomy(now) || s.m.machine.held(now):
	case s.agents > 0:
		s.enlist(now)
	case s.m.channels.full(probationToken) && !s.pace.Proven():
	default:
		if q := s.nextQueue(); q != nil {
			s.m.handler.Ready(q)
		}
	}
}

// tend closes connections that have been idle too long and, when the site may be tried again, lets one queue in.
func (s *Site) tend(now time.Time) {
	s.conns.closeIdle(now.Add(-s.m.cfg.Load().Idle))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found(now) {
		s.admitAll()
	} else {
		s.admit(now)
	}
	s.plan(now)
}

// lookEvery is how often a site that stands for a failed lookup asks the resolver whether the domain is found now: each five
// seconds, and all such sites together at most a hundred times a second. A list of a million dead domains must not keep us
// busy; each of them is tried in any case when its time is over.
func (m *Manager) lookEvery() time.Duration {
	return max(5*time.Second, time.Duration(m.lost.Load())*10*time.Millisecond)
}

// found reports whether the domain of a site that stands for a failed lookup has been found since, or is known not to exist
// or to lead to ourselves.
// The mutex is held.
func (s *Site) found(now time.Time) bool {
	if s.route.Err == nil || s.line.Len() == 0 || now.Sub(s.looked) < s.m.lookEvery() {
		return false
	}
	s.looked = now
	r := s.m.router.Lookup(s.route.Domain)
	return r != nil && (r.Err == nil || r.Err.Permanent || r.Err.Cause == route.Ourselves)
}

// admitAll sends every queue in line back to the output handler: their mail goes to another site now.
func (s *Site) admitAll() {
	for q := s.line.Pick(); q != nil; q = s.line.Pick() {
		q.Resume()
		s.m.handler.Ready(q)
	}
}

// forgettable reports whether nothing would be lost with the site.
func (s *Site) forgettable(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.agents == 0 && s.conns.idleSince().IsZero() && s.line.Len() == 0 && now.Sub(s.used) > forgetAfter && s.pace.Forgettable(now)
}

// current is the route to take now.
func (s *Site) current() *route.Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.route
}

// hold puts q into the line although nothing can be done for it now. A queue in line or claimed stays where it is.
func (s *Site) hold(q *relay.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Len() > 0 {
		s.line.Push(q)
		s.plan(time.Now())
	}
}
