package pool

import (
	"net/netip"
	"time"

	"github.com/millrace/millrace/relay/route"
)

// Status is the state of a site, as the admin sees it.
type Status struct {
	Site        string   `json:"site"`
	Hosts       []string `json:"hosts"`
	Channels    int      `json:"channels"`               // agents at work
	Slow        int      `json:"slow,omitempty"`         // agents of them whose receiver has not answered for a while
	Idle        int      `json:"idle"`                   // connections kept for the next one
	Waiting     int      `json:"waiting"`                // queues in line
	Reason      string   `json:"reason,omitempty"`       // why it is closed
	ClosedUntil int64    `json:"closed_until,omitempty"` // Unix seconds
	InClear     []Clear  `json:"in_clear,omitempty"`     // hosts of it that offer TLS and are spoken to in clear
}

// Clear is a host whose TLS was given up for a while.
type Clear struct {
	Host        string `json:"host"`        // as the mail log names it
	Connections int    `json:"connections"` // made in clear since TLS failed
	Reason      string `json:"reason"`      // how it failed
	Until       int64  `json:"until"`       // Unix seconds: when TLS is tried again
}

// Sites lists the sites in use.
func (m *Manager) Sites() []Status {
	var all []Status
	inClear := m.hosts.inClear(time.Now())
	for _, s := range m.all() {
		all = append(all, s.status(inClear))
	}
	return all
}

func (s *Site) status(inClear map[netip.AddrPort]Clear) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Site: s.Key, Channels: s.agents, Slow: s.slow, Idle: len(s.idle), Waiting: s.line.Len()}
	for _, h := range s.route.Hosts {
		st.Hosts = append(st.Hosts, h.Name)
	}
	st.InClear = clearHosts(s.route, inClear)
	if why := s.pace.Closed(); why.Waits() {
		st.Reason, st.ClosedUntil = why.Text, why.UnixNext()
	}
	return st
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

// clearHosts lists the hosts of r that are among those found.
func clearHosts(r *route.Route, found map[netip.AddrPort]Clear) (list []Clear) {
	if len(found) == 0 {
		return nil // the usual case, in which a million sites look nothing up
	}
	for _, host := range r.Hosts {
		for _, addr := range host.Addrs {
			a := route.Address{Host: host.Name, AddrPort: netip.AddrPortFrom(addr, r.Port)}
			if c, ok := found[a.AddrPort]; ok {
				c.Host = peerOf(a)
				list = append(list, c)
			}
		}
	}
	return list
}
