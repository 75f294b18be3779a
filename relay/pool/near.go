package pool

import (
	"time"

	"github.com/millrace/millrace/relay"
)

// Near reports whether a message with this key would be sent as soon as it is taken: an agent or an idle connection of its site is
// there, and nothing waits there before it. It is a forecast on which nothing depends but time. Mail with a choice of sources is not
// foreseen: the choice is made when the mail goes.
func (m *Manager) Near(k relay.Key) bool {
	r := m.router.Lookup(m.destination(k))
	if r == nil || r.Err != nil {
		return false
	}
	id := siteID{key: m.keyOf(k, r)}
	if !m.forMTA(k.Class) {
		if id.source = m.sources.sole(); id.source == nil {
			return false
		}
	}
	m.mu.Lock()
	s := m.sites[id]
	m.mu.Unlock()
	return s != nil && s.near(time.Now())
}

// near reports whether the site would send one message more at once.
func (s *Site) near(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isSlow(now) || !s.works(now) || s.window(now) == 0 || s.line.Len() > 0 {
		return false
	}
	open, idle := s.conns.counts()
	return idle > 0 && s.m.spare() || open > 0 && s.agents <= open && now.Sub(s.asked) < soon
}
