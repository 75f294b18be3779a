package pool

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

// dialHosts tries the hosts of a fresh plan in turn, but not the host named avoid. It returns the error of the last host
// tried, which is the one that mail to this site will wait for. The plan is made anew for each connection: equal hosts stand
// in random order (RFC 5321 section 5.1), so that the connections of one site spread over them. trying is told of each host
// before it is tried.
func (s *Site) dialHosts(avoid string, trying func(peer string)) (*smtp.Conn, *failure) {
	r := s.current()
	if r.Err != nil {
		return nil, &failure{reply: routeReply(r.Err), ours: r.Err.Cause == route.Shortage}
	}
	plan, cfg := s.patience(r)
	last := &failure{reply: smtp.Reply{Enhanced: "4.4.1", Lines: []string{"no host of " + s.Key + " can be tried now"}}}
	ctx, cancel := context.WithCancel(s.m.unsent)
	defer cancel()
	for _, addr := range plan {
		if addr.Host == avoid || s.source != nil && !s.source.Reaches(addr.AddrPort.Addr()) {
			continue
		}
		if why := s.m.machine.without(time.Now(), addr.AddrPort.Addr()); why != "" {
			last = &failure{peer: peerOf(addr), reply: smtp.Reply{Enhanced: "4.4.1", Lines: []string{"connect to " + peerOf(addr) + ": " + why}}}
			continue
		}
		trying(peerOf(addr))
		conn, news, err := s.m.hosts.reach(ctx, addr, cfg)
		if err == nil {
			s.m.noteTLS(conn, news)
		}
		switch {
		case err != nil:
		case r.Domain == s.m.inject:
			s.m.NoteMTA(conn.Greeting())
		case !r.Static:
			err = loops(conn, addr, s.m.hostname, cfg.Hostname, *s.m.mta.Load())
		}
		if err == nil {
			s.m.machine.noteConnected()
			return conn, nil
		}
		last = &failure{peer: peerOf(addr), reply: errorReply(peerOf(addr), err), refusal: refusalOf(err)}
		switch {
		case ctx.Err() != nil:
			return nil, last
		case errors.Is(err, errOurselves):
			last.ourselves = true // the hosts left are no better, and so no way out
			return nil, last
		case short(err):
			s.m.machine.noteShortage(time.Now(), happened(err))
			last.ours = true
			return nil, last
		case last.throttles() && s.conns.others() > 0:
			return nil, last // the other hosts are the same site's, and would turn us away too
		case familyless(err, addr.AddrPort.Addr()):
			s.m.machine.noteFamily(time.Now(), addr.AddrPort.Addr(), err)
		}
	}
	return nil, last
}

// noteTLS tells the mail log how conn is encrypted. That TLS was given up is news once for each time in clear, and stands in
// the technical log too.
func (m *Manager) noteTLS(conn *smtp.Conn, news bool) {
	c := relay.Connection{Time: time.Now(), Relay: relayName(conn.Peer())}
	c.Trust, c.Suite = conn.Security()
	if fault := conn.TLSFault(); fault != nil && news {
		c.Fault = fault.Error()
		m.log.Warn("TLS does not work at a host, whose mail goes in clear", "host", c.Relay, "error", fault)
	}
	if m.connected != nil {
		m.connected(c)
	}
}

// failure is why no connection to a site could be made.
type failure struct {
	peer    string      // the host tried last, as the mail log names it; "" for none
	reply   smtp.Reply  // what to say in place of a reply
	ours    bool        // this machine's own trouble: nothing is known about the site
	refusal *smtp.Error // what the receiver said; nil: nothing
	// ourselves says that the site is this host, which our MTA alone may decide about.
	ourselves bool
}

// refusalOf is the receiver's reply in err, or nil.
func refusalOf(err error) *smtp.Error {
	var e *smtp.Error
	if errors.As(err, &e) && e.Code != 0 && !e.Local {
		return e
	}
	return nil
}

// throttles reports whether the receiver has asked us to slow down.
func (f *failure) throttles() bool { return f.refusal != nil && f.refusal.Throttle() }

// peerOf is how the mail log names an address.
func peerOf(a route.Address) string { return relayName(smtp.Addr{Host: a.Host, AddrPort: a.AddrPort}) }

// text is what happened.
func (f *failure) text() string { return f.reply.String() }

// hurried is how long a site that has not proven itself is waited for, at each step, while many other sites are tried too.
// A site that needs longer has its turn when there is less to do.
const hurried = 5 * time.Second

// wire is the settings of the site's connections.
func (s *Site) wire() *smtp.Config {
	s.mu.Lock()
	t := s.terms
	s.mu.Unlock()
	if s.source == nil {
		return s.m.wire(t)
	}
	return s.source.Wire(s.m.wire(t))
}

// patience gives the addresses to try, those that failed lately last, and the timeouts to allow them. While many unknown
// sites are tried, each has two addresses and short timeouts: a list with thousands of dead domains must not hold up the
// living ones behind them. A site from the admin's table is never hurried: there is a reason why it stands there.
func (s *Site) patience(r *route.Route) ([]route.Address, *smtp.Config) {
	plan := s.m.hosts.order(r.Plan())
	cfg := s.wire()
	if r.Static || s.pace.Proven() || !s.m.channels.hurried() {
		return plan, cfg
	}
	short := *cfg
	for _, t := range []*time.Duration{&short.Timeouts.Connect, &short.Timeouts.Banner, &short.Timeouts.EHLO} {
		if *t == 0 || *t > hurried { // 0: smtp's default, which is longer
			*t = hurried
		}
	}
	return plan[:min(2, len(plan))], &short
}
