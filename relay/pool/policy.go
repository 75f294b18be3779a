package pool

import (
	"cmp"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

// Policy is what the admin says about receivers, and who may send from where. It is immutable.
type Policy struct {
	Rules   *Rules
	Replies *Replies
	Sources map[string][]string // the names of the sources of each tenant that has its own
}

// withDefaults fills in what an empty file says.
func (p Policy) withDefaults(cfg Config) *Policy {
	if p.Rules == nil {
		p.Rules, _ = CompileRules(nil, cfg) // no rules have no mistakes
	}
	if p.Replies == nil {
		p.Replies, _ = CompileReplies(nil)
	}
	return &p
}

// siteID tells one site from another.
type siteID struct {
	key    string
	source *Source // nil: mail leaves as [smtp] says
}

// path is where the mail of a queue goes: to which site, and on what terms.
type path struct {
	siteID
	terms Terms
}

// pathOf finds the path for the mail of q when r is its route. It reports false when no source may send it today.
func (m *Manager) pathOf(q *relay.Queue, r *route.Route, now time.Time) (path, bool) {
	p := m.siteOf(q.Key, r)
	if m.forMTA(q.Class) || r.Err != nil {
		return p, true
	}
	has4, has6 := familiesOf(r)
	src, ok := m.sources.ChooseFor(m.sourceNames(p.terms, q.Flow), warmKey(p.terms, r), has4, has6, max(q.FirstRcpts(), 1), now)
	p.source = src
	return p, ok
}

// siteOf is the path for mail with this key, without its source.
func (m *Manager) siteOf(k relay.Key, r *route.Route) path {
	if r.Err != nil || m.forMTA(k.Class) {
		return path{siteID: siteID{key: siteKey(r)}, terms: m.general()}
	}
	terms := m.policy.Load().Rules.For(r, k.Domain)
	return path{siteID{key: siteKey(r) + terms.Split}, terms}
}

// keyOf is the key of siteOf without its terms, which take longer to find. Doors ask for it for each message.
func (m *Manager) keyOf(k relay.Key, r *route.Route) string {
	if !m.policy.Load().Rules.splits() {
		return siteKey(r)
	}
	return m.siteOf(k, r).key
}

// warmKey is the provider by which a warm-up plan counts. A site of no known provider is one of its own.
func warmKey(t Terms, r *route.Route) string { return cmp.Or(t.Provider, r.Site) }

// sourceNames are the sources that the mail may use: those of its tenant, else the one of the site's rule, else none in particular.
func (m *Manager) sourceNames(t Terms, f *relay.Flow) []string {
	if names := m.policy.Load().Sources[f.Name().Tenant]; len(names) > 0 {
		return names
	}
	if t.Source != "" {
		return []string{t.Source}
	}
	return nil
}

// general is the terms of sites for which no rule is asked: our own MTA, and domains that DNS does not find.
func (m *Manager) general() Terms {
	cfg := m.cfg.Load()
	return Terms{Connections: cfg.ConnectionsPerSite, MessagesPerConnection: cfg.MessagesPerConnection, TLS: cfg.TLS, BDAT: cfg.BDAT}
}

// familiesOf says of which families the addresses of r are.
func familiesOf(r *route.Route) (has4, has6 bool) {
	for _, h := range r.Hosts {
		for _, a := range h.Addrs {
			if a.Unmap().Is4() {
				has4 = true
			} else {
				has6 = true
			}
		}
	}
	return has4, has6
}

// lacking is why mail that no source may send today goes back to our MTA.
func (m *Manager) lacking(q *relay.Queue, p path, r *route.Route, now time.Time) smtp.Reply {
	has4, has6 := familiesOf(r)
	why := m.sources.Lacking(m.sourceNames(p.terms, q.Flow), warmKey(p.terms, r), has4, has6, now)
	return smtp.Reply{Code: 451, Enhanced: "4.7.0", Lines: []string{cmp.Or(why, "no source address may send to this site now")}}
}
