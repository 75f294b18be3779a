package pool

import (
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// Pause lets nothing be sent to the sites of these names until the time of each Reason, or, without a time, until Pause is called again,
// and lets all other sites be worked with. A name is that of a site, of one of its hosts, or of a provider. An agent at work ends behind
// the message that it is sending. Our own MTA is never paused. Pause walks over all sites.
func (m *Manager) Pause(sites map[string]relay.Reason) {
	byName := make(map[string]relay.Reason, len(sites))
	for name, why := range sites {
		byName[siteName(name)] = why
	}
	m.paused.Store(&byName)
	now := time.Now()
	m.walk(func(s *Site) bool {
		s.mu.Lock()
		was := s.paused
		s.notePause()
		changed := was != s.paused
		s.mu.Unlock()
		if changed {
			s.tend(now)
		}
		return true
	})
}

// siteName is the form in which names of sites, hosts and providers are compared.
func siteName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// notePause finds out whether the site is paused. The mutex is held.
func (s *Site) notePause() {
	s.paused = relay.Reason{}
	all := s.m.paused.Load()
	if all == nil || len(*all) == 0 || s.route.Domain == s.m.inject {
		return
	}
	for name, why := range *all {
		if answersTo(name, s.Key, s.terms, s.route) && !outlasts(s.paused, why) {
			s.paused = why
		}
	}
	if s.paused.Waits() {
		s.paused.Who = s.Key
	}
}

// outlasts reports whether pause a ends later than b.
func outlasts(a, b relay.Reason) bool {
	return a.Waits() && (a.Until.IsZero() || !b.Until.IsZero() && a.Until.After(b.Until))
}

// answersTo reports whether a name, in the form of siteName, is that of the site with this key, of its provider, or of one of its hosts.
func answersTo(name, key string, t Terms, r *route.Route) bool {
	return strings.EqualFold(key, name) || t.Provider == name ||
		slices.ContainsFunc(r.Hosts, func(h route.Host) bool { return siteName(h.Name) == name })
}

// stopped is why the site is paused at now, or the zero Reason. The mutex is held.
func (s *Site) stopped(now time.Time) relay.Reason {
	if s.paused.Waits() && (s.paused.Until.IsZero() || now.Before(s.paused.Until)) {
		return s.paused
	}
	return relay.Reason{}
}

// SiteOf is the key of the site to which the mail of a domain goes, "" while that is not known.
func (m *Manager) SiteOf(domain string) string {
	r := m.router.Lookup(domain)
	if r == nil {
		return ""
	}
	return m.keyOf(relay.Key{Domain: domain}, r)
}

// ProviderOf is the provider of the site with this key, "" if it is of none or not in use.
func (m *Manager) ProviderOf(key string) string {
	for _, s := range m.sitesOf(key) {
		s.mu.Lock()
		provider := s.terms.Provider
		s.mu.Unlock()
		if provider != "" {
			return provider
		}
	}
	return ""
}

// Waiting is how many nodes wait in line for the site with this key, all sources together.
func (m *Manager) Waiting(key string) (n int) {
	for _, s := range m.sitesOf(key) {
		n += s.line.Nodes()
	}
	return n
}

// SiteHas reports whether the mail of a domain goes to the site that a name stands for: its key, one of its hosts, or its provider. known
// is false while DNS has not told where the mail goes.
func (m *Manager) SiteHas(domain, name string) (has, known bool) {
	r := m.router.Lookup(domain)
	if r == nil {
		return false, false
	}
	p := m.siteOf(relay.Key{Domain: domain}, r)
	has = answersTo(siteName(name), p.key, p.terms, r)
	return has, has || r.Err == nil || r.Err.Permanent
}

// Reopen lets those sites with these keys be tried at once that are closed because they could not be reached. A rule, quiet hours and a
// pause stay in force. Reopen walks over all sites.
func (m *Manager) Reopen(sites map[string]bool) {
	now := time.Now()
	m.walk(func(s *Site) bool {
		if sites[s.Key] && s.pace.retry(now) {
			s.tend(now)
		}
		return true
	})
}

// retry lets a site that is closed be tried at now. It reports whether it was closed.
func (p *Pace) retry(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now.Before(p.until) {
		return false
	}
	p.until = now
	p.shut.set(byFailure, true)
	return true
}
