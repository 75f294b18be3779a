package pool

import (
	"net/netip"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// nextQueue takes the next queue whose mail goes here, and whose tenant is below its limits, out of the line. It returns nil when
// there is none. Queues whose route has changed go back to the handler's line.
func (s *Site) nextQueue() *relay.Queue {
	for q := s.line.PickOpen(); q != nil; q = s.line.PickOpen() {
		q.Resume()
		if s.serves(q.Key) {
			return q
		}
		s.m.handler.Ready(q)
	}
	return nil
}

// serves reports whether mail with this key still goes to this site and may go by its source, because routes and rules change while
// queues wait. A route that is not known now counts as unchanged. What was found for one message holds for the next of the same key, as
// long as route and rules are the same.
func (s *Site) serves(k relay.Key) bool {
	r := s.m.router.Lookup(s.m.destination(k))
	if r == nil {
		return true
	}
	now := lead{r, s.m.policy.Load()}
	if s.leads.has(k, now) {
		return true
	}
	p := s.m.siteOf(k, r)
	if p.key != s.Key {
		return false
	}
	if s.named() {
		return s.m.sources.Allowed(s.source, s.m.sourceNames(p.terms, k.Flow))
	}
	if s.conns.busy() > 1 { // others have too little mail to be worth the memory
		s.leads.add(k, now)
	}
	return true
}

// serve makes a visit of the node that must go next. It returns nil when none may.
func (s *Site) serve(now time.Time) *relay.Visit {
	for v := s.m.handler.Serve(s.line, now); v != nil; v = s.m.handler.Serve(s.line, now) {
		why := s.withholds(v, now)
		switch {
		case !s.serves(v.Key()):
			s.m.handler.Reroute(s.line, v)
		case why.Waits():
			s.m.handler.Postpone(v, why)
		case !s.spend(v, now):
			s.m.handler.Reroute(s.line, v)
		default:
			return v
		}
	}
	return nil
}

// withholds is why the mail of v's sender or flow is kept from this site, or the zero Reason.
func (s *Site) withholds(v *relay.Visit, now time.Time) relay.Reason {
	flow := v.Node.Message.Flow()
	if why := s.suspends(flow.Sender, now); why.Waits() || s.m.brake == nil {
		return why
	}
	return s.m.brake.Holds(flow, s.Key)
}

// named reports whether a [[source]] table names the site's source. The default source has no plan and is anybody's, so that Sources,
// whose mutex all sites share, need not be asked.
func (s *Site) named() bool { return s.source != nil && !s.source.isDefault() }

// spend counts the recipients of v against the warm-up plan of the source. It reports false when the plan has no room for them.
func (s *Site) spend(v *relay.Visit, now time.Time) bool {
	return !s.named() || s.source.Spend(s.provider(), len(v.Node.Rcpts()), now)
}

// unspend takes back what spend counted for a visit that never was.
func (s *Site) unspend(v *relay.Visit) {
	if s.named() {
		s.source.Unspend(s.provider(), len(v.Node.Rcpts()), v.Began)
	}
}

// provider is the name by which warm-up plans count the site.
func (s *Site) provider() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return warmKey(s.terms, s.route)
}

// learnBounds learns what the site takes at a time. It reports true when t was turned away for that alone.
func (s *Site) learnBounds(t *smtp.Transaction, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waste.learn(t)
	return s.bounds.learn(t, now)
}

// overrun reports whether a connection that ended in place of its given message ended for another reason than its limit of messages.
func (s *Site) overrun(use int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bounds.overrun(use)
}

// perTransaction is how many recipients a transaction may have here. Every server must take a hundred (RFC 5321 section
// 4.5.3.1.8).
func (s *Site) perTransaction() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := 100
	if n := s.terms.Recipients; n > 0 {
		most = n
	}
	return s.bounds.perTransaction(most, time.Now())
}

// perConnection is how many messages a connection may carry here.
func (s *Site) perConnection() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bounds.perConnection(s.terms.MessagesPerConnection, time.Now())
}

// companions says which other domains of a message may share a transaction with the host at a: nil for none. A site that the
// admin's table or a rule names takes the mail of several, until one of its hosts refuses several domains. Other sites get one domain
// a transaction, as Postfix does it: large providers refuse several ("multiple destination domains per transaction"), some of them
// for good, and nobody can know before. A source in warm-up counts the recipients of one node at a time.
func (s *Site) companions(a netip.AddrPort) func(relay.Key) bool {
	s.mu.Lock()
	domains, static := s.terms.Domains, s.route.Static
	s.mu.Unlock()
	if domains == 1 || domains == 0 && !static || s.named() || !s.m.hosts.takesDomains(a, time.Now()) {
		return nil
	}
	if domains == 0 {
		return s.reaches
	}
	return func(k relay.Key) bool {
		if domains <= 1 || !s.reaches(k) {
			return false
		}
		domains--
		return true
	}
}

// reaches reports whether mail with this key goes to this site too.
func (s *Site) reaches(k relay.Key) bool {
	r := s.m.router.Lookup(s.m.destination(k))
	return r != nil && r.Err == nil && s.m.keyOf(k, r) == s.Key
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
