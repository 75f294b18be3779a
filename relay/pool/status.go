package pool

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// Status is the state of a site, as the admin sees it.
type Status struct {
	Site     string
	Source   string // the [[source]] from which it is seen; "": mail leaves as [smtp] says
	Provider string // as the table of providers knows it; "": it does not
	Rule     string // the narrowest [[site]] rule that matches; "" for none
	Hosts    []string

	Window   int           // agents that may be at work; 0: closed
	WindowBy string        // who set it: "default", "learned", "reply", "rule NAME", "provider NAME" or "pause"
	Ceiling  int           // connections that the site allows, as its refusals have shown; 0: not known
	Channels int           // agents at work
	Slow     int           // agents of them whose receiver has not answered for a while
	Rate     float64       // messages a second that it gets at most; 0: no limit
	RateBy   string        // who set it, as WindowBy; "": nobody
	Goodput  float64       // messages a second that it takes
	Latency  time.Duration // from the end of a body to its reply; 0: not known
	Open     int           // connections
	Idle     int           // connections of them that are kept for the next agent

	Waiting int       // queues in line
	Nodes   int       // nodes in them
	AtLeast bool      // the line is too long to be looked at whole: a message may be older than Oldest, and Flows are of a part
	Oldest  time.Time // arrival of the oldest message in line; zero: none waits
	Flows   []Flow    // whose mail waits, those with the most nodes first; see MoreFlows

	MoreFlows   int          // flows that are not in Flows
	Reason      string       // why it is closed
	ClosedUntil int64        // Unix seconds
	Held        relay.Reason // why the queues in line wait now; zero: their mail is under way, or none waits

	LearnedSince   int64  // Unix seconds; 0: nothing is learned
	LastThrottle   string // the words of the last request to slow down
	LastThrottleAt int64  // Unix seconds

	MessagesPerConnection int    // at most, by rules or learned
	RecipientsPerMessage  int    // at most in one transaction, by rules or learned
	DomainsPerTransaction int    // at most in one transaction; 0: no rule says
	TLS                   string // a mode of pool.tls

	Warming   *WarmingView // what the plan of the source allows today; nil: there is no plan, or it is over
	Suspended []Suspension // senders whose mail waits by a [[reply]] rule
	InClear   []Clear      // hosts of it that offer TLS and are spoken to in clear
}

// Flow is one flow whose mail waits for a site.
type Flow struct {
	relay.FlowName
	Queues int
	Nodes  int
}

// Suspension is a sender's domain whose mail waits.
type Suspension struct {
	Sender string
	Reason string
	Until  time.Time
}

// Clear is a host whose TLS was given up for a while.
type Clear struct {
	Site        string
	Host        string // as the mail log names it
	Connections int    // made in clear since TLS failed
	Reason      string // how it failed
	Until       int64  // Unix seconds: when TLS is tried again
}

const (
	maxQueuesSeen = 1000 // queues of a site's line that are looked at for one answer
	maxFlowsShown = 20
)

// Sites lists all sites in use. A daemon may know a million of them: see List.
func (m *Manager) Sites() (all []Status) {
	m.List("", 0, func(s Status) bool {
		all = append(all, s)
		return true
	})
	return all
}

// status is what s looks like now. What needs no mutex of s is asked before it is taken.
func (s *Site) status(now time.Time, inClear map[netip.AddrPort]Clear) Status {
	view := s.pace.View(now)
	st := Status{
		Site: s.Key, Window: view.Window, Ceiling: view.Ceiling, Rate: view.Rate, Goodput: view.Goodput,
		Latency:      time.Duration(view.Latency * float64(time.Second)),
		LearnedSince: view.Learned, LastThrottle: view.Throttled, LastThrottleAt: view.ThrottledAt,
		MessagesPerConnection: s.perConnection(), RecipientsPerMessage: s.perTransaction(),
	}
	tenants := st.noteLine(s.line.View(maxQueuesSeen))
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Channels, st.Slow = s.agents, s.slow
	st.Open, st.Idle = s.conns.counts()
	st.noteTerms(s.terms, view)
	st.noteReason(s, tenants, now)
	st.Suspended = s.suspensions(now)
	for _, h := range s.route.Hosts {
		st.Hosts = append(st.Hosts, h.Name)
	}
	if st.InClear = s.clearHosts(inClear); s.source != nil {
		st.Source, st.Warming = s.source.Name(), s.source.warmingAt(warmKey(s.terms, s.route), now)
	}
	return st
}

// noteLine takes over what the line says, and returns why the mail of a tenant is passed over.
func (st *Status) noteLine(v relay.LineView) (tenants relay.Reason) {
	st.Waiting, st.Nodes, st.AtLeast, st.Oldest = v.Queues, v.Nodes, !v.Whole, v.Oldest
	for _, f := range v.Flows[:min(len(v.Flows), maxFlowsShown)] {
		st.Flows = append(st.Flows, Flow(f))
	}
	st.MoreFlows = len(v.Flows) - len(st.Flows)
	return v.Holds
}

// noteTerms takes over what the rules say.
func (st *Status) noteTerms(t Terms, view View) {
	st.Provider, st.Rule, st.TLS, st.DomainsPerTransaction = t.Provider, t.Rule, t.TLS, t.Domains
	st.WindowBy = setBy(view.WindowBy, t.ConnectionsBy)
	if st.Rate > 0 {
		st.RateBy = setBy(view.RateBy, t.RateBy)
	}
}

// noteReason says why the site is closed and why its queues wait. The mutex of s is held.
func (st *Status) noteReason(s *Site, tenants relay.Reason, now time.Time) {
	why := s.hours(now)
	if why.Waits() {
		st.Window, st.WindowBy = 0, setBy("rule", s.terms.QuietBy)
		if why.Kind == relay.ReasonPause {
			st.WindowBy = "pause"
		}
	} else {
		why = s.pace.Closed()
	}
	if why.Waits() {
		st.Reason, st.ClosedUntil = why.Text, why.UnixNext()
	}
	if st.Waiting == 0 {
		return
	}
	if st.Held = s.waits(now); !st.Held.Waits() {
		st.Held = tenants
	}
}

// setBy names who set a limit. Pace knows only that the configuration gives one; terms says which part of it does.
func setBy(who, terms string) string {
	rule, ours := strings.CutPrefix(terms, "[[site]] ")
	switch {
	case who == "learned" || who == "reply" || terms == "":
		return who
	case ours:
		return "rule " + rule
	case terms == "[pool]":
		return "default"
	}
	return terms
}

// suspensions lists the senders whose mail waits here. The mutex is held.
func (s *Site) suspensions(now time.Time) (list []Suspension) {
	for sender, why := range s.suspended {
		if why.Until.After(now) {
			list = append(list, Suspension{sender, why.Text, why.Until})
		}
	}
	slices.SortFunc(list, func(a, b Suspension) int { return strings.Compare(a.Sender, b.Sender) })
	return list
}

// warmingAt is what the source's plan allows the provider on the day of now; nil: there is no plan, or it is over.
func (s *Source) warmingAt(provider string, now time.Time) *WarmingView {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	day := dayOf(now, s.all.zone)
	w := planFor(s.terms.Load().Warmup, provider)
	if w == nil || w.limit(day) == noLimit {
		return nil
	}
	plan := w.limit(day)
	return &WarmingView{provider, plan, plan - s.room(provider, day)}
}

// inClear lists the addresses whose TLS has been given up.
func (h *hosts) inClear(now time.Time) map[netip.AddrPort]Clear {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found map[netip.AddrPort]Clear
	for a, s := range h.state {
		if !now.Before(s.tlsBroken) {
			continue
		}
		if found == nil {
			found = make(map[netip.AddrPort]Clear)
		}
		found[a] = Clear{Connections: s.inClear, Reason: s.tlsFault, Until: s.tlsBroken.Unix()}
	}
	return found
}

// clearHosts lists the hosts of s that are among those found. The mutex is held.
func (s *Site) clearHosts(found map[netip.AddrPort]Clear) (list []Clear) {
	if len(found) == 0 {
		return nil // the usual case, in which a million sites look nothing up
	}
	for _, host := range s.route.Hosts {
		for _, addr := range host.Addrs {
			a := route.Address{Host: host.Name, AddrPort: netip.AddrPortFrom(addr, s.route.Port)}
			if c, ok := found[a.AddrPort]; ok {
				c.Site, c.Host = s.Key, peerOf(a)
				list = append(list, c)
			}
		}
	}
	return list
}
