package pool

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

// forgetAfter is how long a site without connections, queues or a closed door is remembered.
const forgetAfter = 10 * time.Minute

// Site is one next hop: its hosts, its open connections, the queues that wait for a connection, and whether it can be
// reached.
type Site struct {
	Key  string
	lost bool // it stands for a failed lookup

	m    *Manager
	pace Pace
	line *relay.Line // queues that wait for an agent here

	mu     sync.Mutex
	route  *route.Route
	agents int       // at work here
	slow   int       // agents of them whose receiver has not answered for a while
	excess int       // agents that end because the site may have fewer
	silent int       // slow agents, and agents whose receiver has not answered about a message yet
	asked  time.Time // when an agent last asked for a visit
	idle   []*lent   // connections kept for the next queue, the latest used last
	used   time.Time
	looked time.Time // when a site without a route last asked for one

	due   time.Time // when it must be looked after; guarded by the manager's agenda, as is
	place int       // in that agenda; -1: in none
}

// lent is a connection and since when it has been idle.
type lent struct {
	*smtp.Conn
	since time.Time
}

func newSite(m *Manager, key string) *Site {
	kind, who := relay.ReasonSite, key
	domain, lost := strings.CutPrefix(key, dnsKey)
	if lost {
		kind, who = relay.ReasonDNS, domain
		m.lost.Add(1)
	}
	s := &Site{Key: key, lost: lost, m: m, line: m.newLine(), pace: newPace(&m.cfg, kind, who), used: time.Now(), place: -1}
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

// update keeps the newest route: hosts and addresses may change while the site stays.
func (s *Site) update(r *route.Route) {
	s.mu.Lock()
	s.route, s.used = r, time.Now()
	s.mu.Unlock()
}

// carry starts an agent for q when the site has room for one more agent and q has enough work for it. Else q waits in the
// site's line, where an agent that has nothing left to do finds it. Only the dispatcher calls carry.
func (s *Site) carry(q *relay.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = time.Now()
	if q.Len() == 0 {
		s.admit(s.used)
		return
	}
	if s.m.handler.Unwritable() != nil || !s.room(q, s.used) || !s.m.machine.goAhead(s.used) || !s.start(q) {
		s.park(q)
		return
	}
	if s.pace.Proven() && q.Len() > 1 {
		s.m.handler.Ready(q) // q may have work for a second agent; room decides when its turn comes
	}
}

// start starts an agent for q. It reports false when there is no token for it. The mutex is held.
func (s *Site) start(q *relay.Queue) bool {
	t := channelToken
	if !s.pace.Proven() {
		t = probationToken
	}
	a := newAgent(s, q, t)
	q.Resume() // the reason may be an old one: q stood in the handler's line since it was parked
	s.asked = s.used
	s.agents, s.silent = s.agents+1, s.silent+1
	if !s.m.launch(t, a.run, a.retire) {
		s.agents, s.silent = s.agents-1, s.silent-1
		return false
	}
	return true
}

// soon is how long a queue waits for agents that are at work anyway. An agent that has not asked for work for longer is held
// up by its receiver, and the queue must not wait for it.
const soon = 200 * time.Millisecond

// room reports whether another agent would help q now. If fewer nodes wait than agents run here, and an agent asked for
// work in the last 200 ms, the agents will take these nodes too: do not start another. The mutex is held.
func (s *Site) room(q *relay.Queue, now time.Time) bool {
	if s.agents > 0 && q.Len()+s.line.Len() <= s.agents && now.Sub(s.asked) < soon {
		return false
	}
	return s.roomy(now)
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
// that hangs holds few connections, and one that answers soon has its window. The mutex is held.
func (s *Site) roomy(now time.Time) bool {
	return s.agents < s.pace.Window(now) && (s.silent < s.m.channels.few() || 2*s.silent <= s.agents)
}

// noteSlow counts an agent that has become slow, or has ended as one.
func (s *Site) noteSlow(n int) {
	s.mu.Lock()
	s.slow += n
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

// park lets q wait in the site's line, with the reason for everyone to see. The mutex is held.
func (s *Site) park(q *relay.Queue) {
	s.line.Park(q, s.waits())
	s.plan(time.Now())
}

// plan puts the site into the manager's agenda for the time when there is next something to do: a queue to let in, an idle
// connection to end, a domain to look for, the site to forget. The mutex is held.
func (s *Site) plan(now time.Time) {
	at := s.used.Add(forgetAfter)
	if why := s.pace.Closed(); why.Until.Add(forgetAfter).After(at) {
		at = why.Until.Add(forgetAfter)
	}
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	if len(s.idle) > 0 {
		sooner(s.idle[0].since.Add(s.m.cfg.Load().Idle))
	}
	if s.line.Len() > 0 {
		sooner(s.opens(now))
	}
	if s.route != nil && s.route.Err != nil && s.line.Len() > 0 {
		sooner(s.looked.Add(s.m.lookEvery()))
	}
	if at.Before(now) {
		at = now
	}
	s.m.agenda.plan(s, at)
	s.explain(now)
}

// explain tells the line why it waits. A time that is over is none: the site is being tried now. The mutex is held.
func (s *Site) explain(now time.Time) {
	if s.line.Len() == 0 {
		return
	}
	why := s.waits()
	if !why.Until.After(now) {
		why.Until = time.Time{}
	}
	s.line.Explain(why)
}

// opens is when a queue in line may be let in: when the site's time is over, when this machine can connect again, or, for all
// that is signalled and not timed, soon.
func (s *Site) opens(now time.Time) time.Time {
	at := now.Add(tick)
	for _, why := range []relay.Reason{s.m.machine.waits(), s.pace.Closed()} {
		if why.Until.After(at) {
			at = why.Until
		}
	}
	return at
}

// waits is why a queue cannot be carried here now. The journal and this machine come first: while the one is unwritable or
// the other cannot connect, no site is worked with, whatever the site is like.
func (s *Site) waits() relay.Reason {
	if err := s.m.handler.Unwritable(); err != nil {
		return relay.WaitFor(relay.ReasonJournal, "", "nothing is sent that cannot be recorded: "+err.Error(), time.Time{})
	}
	if why := s.m.machine.waits(); why.Waits() {
		return why
	}
	if why := s.pace.Closed(); why.Waits() {
		return why
	}
	if s.slow > 0 {
		return relay.WaitFor(relay.ReasonConnection, s.Key, fmt.Sprintf("waiting for a connection to the site: %d of %d have had no answer for more than %s",
			s.slow, s.agents, s.m.slowAfter), time.Time{})
	}
	return relay.WaitFor(relay.ReasonConnection, s.Key, "waiting for a connection to the site", time.Time{})
}

// nextQueue takes the next queue in line whose mail goes here, for an agent whose queue is empty or has had its turn. It
// returns nil when there is none. Queues whose route has changed go back to the handler's line.
func (s *Site) nextQueue() *relay.Queue {
	for q := s.line.Pick(); q != nil; q = s.line.Pick() {
		q.Resume()
		if s.serves(q) {
			return q
		}
		s.m.handler.Ready(q)
	}
	return nil
}

// serves reports whether q's mail still goes to this site, because routes change while queues wait. A route that is not
// known now counts as unchanged.
func (s *Site) serves(q *relay.Queue) bool {
	r := s.m.router.Lookup(s.m.destination(q.Key))
	return r == nil || siteKey(r) == s.Key
}

// asks notes that an agent gets on with its work. It reports true when the agent must end instead, because the site may have
// fewer agents now: only as many are told so as are too many.
func (s *Site) asks() (end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
	if s.agents-s.excess <= s.m.cfg.Load().ConnectionsPerSite {
		return false
	}
	s.excess++
	return true
}

// retire ends an agent: the site keeps its connection for the next agent, unless all sites together keep one for each
// channel already, and the line moves. excess says that asks told the agent to end.
func (s *Site) retire(c *smtp.Conn, excess bool) {
	if c != nil && (excess || s.m.countIdle(1) > s.m.channels.most[channelToken].Load()) {
		if !excess {
			s.m.countIdle(-1)
		}
		c.Quit()
		c = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agents--
	if excess {
		s.excess--
	}
	s.used = time.Now()
	if c != nil {
		s.idle = append(s.idle, &lent{Conn: c, since: s.used})
	}
	s.admit(s.used)
	s.plan(s.used)
}

// admit sends the first queue in line back to the output handler when the site has room. The mutex is held.
func (s *Site) admit(now time.Time) {
	if !s.roomy(now) || s.m.handler.Unwritable() != nil || s.m.machine.held(now) || s.m.channels.full(probationToken) && !s.pace.Proven() {
		return
	}
	if q := s.nextQueue(); q != nil {
		s.m.handler.Ready(q)
	}
}

// borrow takes an idle connection that still lives, and none to the host named avoid. It returns nil when there is none.
func (s *Site) borrow(avoid string) *smtp.Conn {
	for c := s.lastIdle(avoid); c != nil; c = s.lastIdle(avoid) {
		if c.Alive() {
			return c
		}
		c.Close()
	}
	return nil
}

// lastIdle takes the idle connection that was used last, because the peer is least likely to have closed it, and none to the
// host named avoid.
func (s *Site) lastIdle(avoid string) *smtp.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range slices.Backward(s.idle) {
		if avoid == "" || c.Peer().Host != avoid {
			s.idle = slices.Delete(s.idle, i, i+1)
			s.m.countIdle(-1)
			return c.Conn
		}
	}
	return nil
}

// stale takes out the connections that have been idle since before. The caller ends them, outside of the lock: a QUIT is
// I/O.
func (s *Site) stale(before time.Time) (old []*lent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = slices.DeleteFunc(s.idle, func(c *lent) bool {
		if c.since.After(before) {
			return false
		}
		old = append(old, c)
		return true
	})
	s.m.countIdle(-len(old))
	return old
}

// shed ends idle connections until no more than most are open.
func (s *Site) shed(most int) {
	s.mu.Lock()
	n := min(max(s.agents+len(s.idle)-most, 0), len(s.idle))
	old := slices.Clone(s.idle[:n]) // those that have been idle for longest
	s.idle = slices.Delete(s.idle, 0, n)
	s.m.countIdle(-n)
	s.mu.Unlock()
	for _, c := range old {
		c.Quit()
	}
}

// closeIdle ends the connections that have been idle since before.
func (s *Site) closeIdle(before time.Time) {
	for _, c := range s.stale(before) {
		c.Quit()
	}
}

// tend closes connections that have been idle too long and, when the site may be tried again, lets one queue in.
func (s *Site) tend(now time.Time) {
	s.closeIdle(now.Add(-s.m.cfg.Load().Idle))
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
	return s.agents == 0 && len(s.idle) == 0 && s.line.Len() == 0 && now.Sub(s.used) > forgetAfter && s.pace.Forgettable(now)
}

// current is the route to take now.
func (s *Site) current() *route.Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.route
}

// hold parks q here because the site has just been closed or the journal became unwritable. A queue in line or claimed stays
// where it is.
func (s *Site) hold(q *relay.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Len() > 0 {
		s.park(q)
	}
}

// companions says which other domains of a message may share a transaction with the host at a: nil for none. A site that the
// admin's table names takes all the mail it is given, until one of its hosts refuses several domains. Other sites get one domain a transaction, as Postfix does it: large providers refuse
// several ("multiple destination domains per transaction"), some of them for good, and nobody can know before.
func (s *Site) companions(a netip.AddrPort) func(relay.Key) bool {
	if !s.current().Static || !s.m.hosts.takesDomains(a, time.Now()) {
		return nil
	}
	return s.reaches
}

// reaches reports whether mail with this key goes to this site too.
func (s *Site) reaches(k relay.Key) bool {
	r := s.m.router.Lookup(s.m.destination(k))
	return r != nil && r.Err == nil && r.Site == s.Key
}

// hasOther reports whether the site has a host with an address besides the named host.
func (s *Site) hasOther(host string) bool {
	for _, h := range s.current().Hosts {
		if h.Name != host && len(h.Addrs) > 0 {
			return true
		}
	}
	return false
}

// learn tells the pace what a visit showed about the site. It reports true when the site does its work.
func (s *Site) learn(n news, why string) bool {
	switch n {
	case works:
		s.pace.Answered()
	case trouble:
		s.pace.Trouble(time.Now(), why)
	}
	return n == works
}
