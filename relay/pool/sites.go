package pool

import (
	"cmp"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// walkAtOnce is how many sites are looked up under the manager's lock at a time.
const walkAtOnce = 256

// walk yields every site, until yield returns false. A site that comes or goes meanwhile may be missed. No lock is held while
// yield runs.
func (m *Manager) walk(yield func(*Site) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	some := make([]*Site, 0, walkAtOnce)
	for _, s := range m.sites { // the map may change between two steps of the loop, while pause has let the lock go
		some = append(some, s)
		if len(some) == walkAtOnce {
			if !m.pause(some, yield) {
				return
			}
			some = some[:0]
		}
	}
	m.pause(some, yield)
}

// pause lets the manager's lock go, and yields some sites.
func (m *Manager) pause(some []*Site, yield func(*Site) bool) bool {
	m.mu.Unlock()
	defer m.mu.Lock()
	for _, s := range some {
		if !yield(s) {
			return false
		}
	}
	return true
}

// Totals is all sites together.
type Totals struct {
	Sites    int64
	Channels int64   // agents at work
	Open     int64   // connections, the idle ones included
	Closed   int64   // sites that take nothing for now
	InClear  []Clear // hosts that offer TLS and are spoken to in clear
}

// Totals is kept up to date by whatever changes: it looks at no site, but at those that have a host that is spoken to in clear.
func (m *Manager) Totals() Totals {
	t := Totals{Channels: m.working.Load(), Open: m.opened.Load(), Closed: m.closed.Load()}
	if inClear := m.hosts.inClear(time.Now()); len(inClear) > 0 {
		m.walk(func(s *Site) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.InClear = append(t.InClear, s.clearHosts(inClear)...)
			return true
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Sites = int64(len(m.sites))
	return t
}

// weighed is a site and the nodes that wait for it.
type weighed struct {
	*Site
	nodes int
}

// compare orders sites: those with more nodes come first.
func (a weighed) compare(b weighed) int {
	return cmp.Or(cmp.Compare(b.nodes, a.nodes), cmp.Compare(a.Key, b.Key), cmp.Compare(a.sourceName(), b.sourceName()))
}

// sourceName is the name of the source from which the site is seen, "" for none.
func (s *Site) sourceName() string {
	if s.source == nil {
		return ""
	}
	return s.source.Name()
}

// List yields the sites that the name stands for, or all for "", until yield returns false. A name is that of a site, of one of
// its hosts, of a provider, or a domain whose mail goes there. With most above 0 List yields so many at most: those with the most
// nodes in line, the most first. With 0 it yields all of them, in no order, and keeps none. No lock is held while yield runs.
func (m *Manager) List(name string, most int, yield func(Status) bool) {
	now := time.Now()
	inClear := m.hosts.inClear(now)
	wanted := m.named(name)
	if most <= 0 {
		m.walk(func(s *Site) bool { return !wanted(s) || yield(s.status(now, inClear)) })
		return
	}
	top := relay.NewTop(most, weighed.compare)
	m.walk(func(s *Site) bool {
		if wanted(s) {
			top.Add(weighed{s, s.line.Nodes()})
		}
		return true
	})
	for _, s := range top.List() {
		if !yield(s.status(now, inClear)) {
			return
		}
	}
}

// named returns a function that says whether a site is one of those that the name stands for. A domain that is not known is looked
// up from now on, and may be known when its name comes again.
func (m *Manager) named(name string) func(*Site) bool {
	if name == "" {
		return func(*Site) bool { return true }
	}
	key := ""
	if domain, err := route.Domain(name); err == nil && strings.ContainsAny(domain, ".[") { // a provider's name has neither
		if r := m.router.Lookup(domain); r != nil {
			key = m.keyOf(relay.Key{Domain: domain}, r)
		}
	}
	name = siteName(name)
	return func(s *Site) bool { return s.Key == key || s.called(name) }
}

// called reports whether the name is that of the site, of its provider, or of one of its hosts.
func (s *Site) called(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return answersTo(name, s.Key, s.terms, s.route)
}
