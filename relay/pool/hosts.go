package pool

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

const (
	hostDeadFor   = 15 * time.Minute   // a host that failed is tried last for so long
	tlsBrokenFor  = 10 * time.Minute   // a host whose TLS failed is spoken to in clear for so long, doubled each time in a row
	tlsRefusedMax = 2 * time.Hour      // at most so long when it refused STARTTLS in words: a 454 is of the moment
	tlsBrokenMax  = 3 * 24 * time.Hour // at most so long when a handshake failed (KumoMTA's figure)
	tlsRecalled   = 24 * time.Hour     // after the time in clear, the count of failures is kept for so long
	noAheadFor    = 24 * time.Hour     // a host that loses what stands behind a body is spared it for so long
	noChunksFor   = 24 * time.Hour     // a host with which the dialogue broke over BDAT gets DATA for so long
	oneDomainFor  = 24 * time.Hour     // a host that refuses several domains in a transaction gets one for so long
	maxHostStates = 100_000
	maxFaultText  = 200 // bytes
)

// hosts remembers what went wrong with single addresses, because several sites may share one. It is bounded: when it is full,
// nothing new is remembered, which costs a connection attempt now and then.
type hosts struct {
	mu    sync.Mutex
	state map[netip.AddrPort]hostState
}

// hostState is what went wrong with one address.
type hostState struct {
	dead      time.Time // tried after the others until then
	tlsBroken time.Time // no STARTTLS until then
	tlsFaults int       // how often in a row TLS failed
	tlsFault  string    // how it failed the last time
	inClear   int       // connections made since then, because of that
	noAhead   time.Time // no envelope behind a body until then
	noChunks  time.Time // no BDAT until then
	oneDomain time.Time // one domain in a transaction until then
}

// order moves addresses that failed a moment ago to the end. Such addresses are the last resort, not forbidden.
func (h *hosts) order(plan []route.Address) []route.Address {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	alive := make([]route.Address, 0, len(plan))
	var dead []route.Address
	for _, a := range plan {
		if now.Before(h.state[a.AddrPort].dead) {
			dead = append(dead, a)
		} else {
			alive = append(alive, a)
		}
	}
	return append(alive, dead...)
}

// reach connects to one address and remembers what that teaches. A host whose TLS handshake failed is spoken to in clear,
// because opportunistic TLS must never be the reason why mail does not arrive (RFC 7435). gaveUp reports that TLS failed there
// now, and not only beside another connection that told of it.
func (h *hosts) reach(ctx context.Context, a route.Address, cfg *smtp.Config) (conn *smtp.Conn, gaveUp bool, err error) {
	adapted := h.adapt(a.AddrPort, cfg)
	conn, err = smtp.Dial(ctx, smtp.Addr{Host: a.Host, AddrPort: a.AddrPort}, adapted)
	switch {
	case short(err), familyless(err, a.AddrPort.Addr()):
		return nil, false, err // that says nothing about the host
	case err != nil:
		h.note(a.AddrPort, true, func(s *hostState) { s.dead = time.Now().Add(hostDeadFor) })
		return nil, false, err
	case adapted.TLS != smtp.TLSNone:
		gaveUp = h.learnTLS(a.AddrPort, conn.TLSFault(), time.Now())
	case cfg.TLS != smtp.TLSNone:
		h.note(a.AddrPort, false, func(s *hostState) { s.inClear++ })
	}
	return conn, gaveUp, nil
}

// learnTLS remembers how STARTTLS went at an address. Connections that fail at the same time are one failure, and it reports
// true for one of them.
func (h *hosts) learnTLS(a netip.AddrPort, fault *smtp.Error, now time.Time) (gaveUp bool) {
	h.note(a, fault != nil, func(s *hostState) {
		switch {
		case fault == nil:
			s.tlsBroken, s.tlsFaults = time.Time{}, 0
			return
		case now.After(s.tlsBroken):
			s.tlsBroken = now.Add(clearFor(fault, s.tlsFaults))
			s.tlsFaults++
			s.tlsFault, s.inClear, gaveUp = clip(fault.Error()), 0, true
		}
		s.inClear++
	})
	return gaveUp
}

// clip bounds what is remembered of a peer's words, of which there may be one for each of 100,000 hosts.
func clip(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxFaultText)], "") }

// clearFor is how long a host is spoken to in clear after a fault of its TLS that came after n others in a row.
func clearFor(fault *smtp.Error, n int) time.Duration {
	longest := tlsBrokenMax
	if fault.Code != 0 {
		longest = tlsRefusedMax
	}
	return min(tlsBrokenFor<<min(n, 10), longest)
}

// errOurselves is why a connection was closed that led back to this host.
var errOurselves = errors.New("it greets with our own name: mail for this domain loops back to this host")

// loops closes conn with an error when its host, found by DNS, greets with one of our own names (RFC 5321 section 6.3): the
// name of this host, the name we greet with, or the name that our MTA gives itself when mail is handed to it. Behind NAT, where no
// interface has our public address, this is how a connection to it shows. Another port may well be another server of ours.
func loops(conn *smtp.Conn, a route.Address, names ...string) error {
	greeting := strings.TrimSuffix(conn.Greeting(), ".")
	ours := slices.ContainsFunc(names, func(name string) bool {
		return name != "" && strings.EqualFold(greeting, strings.TrimSuffix(name, "."))
	})
	if a.AddrPort.Port() != 25 || !ours {
		return nil
	}
	conn.Quit()
	return &smtp.Error{Command: smtp.AtBanner, Enhanced: "4.4.6", Err: errOurselves, Lines: []string{errOurselves.Error()}}
}

// adapt gives the settings for an address: cfg without the things that do not work there now.
func (h *hosts) adapt(a netip.AddrPort, cfg *smtp.Config) *smtp.Config {
	h.mu.Lock()
	s := h.state[a]
	h.mu.Unlock()
	out, now := *cfg, time.Now()
	if now.Before(s.tlsBroken) {
		out.TLS = smtp.TLSNone
	}
	out.NoLookAhead = out.NoLookAhead || now.Before(s.noAhead)
	return &out
}

// review remembers what a connection that has ended showed about its host.
func (h *hosts) review(conn *smtp.Conn) {
	if conn.AheadLost() {
		h.note(conn.Peer().AddrPort, true, func(s *hostState) { s.noAhead = time.Now().Add(noAheadFor) })
	}
	if conn.ChunksLost() {
		h.note(conn.Peer().AddrPort, true, func(s *hostState) { s.noChunks = time.Now().Add(noChunksFor) })
	}
}

// takesChunks reports whether messages may go to the address by BDAT.
func (h *hosts) takesChunks(a netip.AddrPort, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.After(h.state[a].noChunks)
}

// learnDomains remembers that the host of conn has refused several domains in a transaction. It reports true for a new finding.
func (h *hosts) learnDomains(conn *smtp.Conn, now time.Time) bool {
	a := conn.Peer().AddrPort
	if !conn.OneDomain() || !h.takesDomains(a, now) {
		return false
	}
	h.note(a, true, func(s *hostState) { s.oneDomain = now.Add(oneDomainFor) })
	return true
}

// takesDomains reports whether a transaction at the address may have several domains.
func (h *hosts) takesDomains(a netip.AddrPort, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.After(h.state[a].oneDomain)
}

// note lets learn change the state of an address. An address without a state gets one only when fresh is set and there is room.
func (h *hosts) note(a netip.AddrPort, fresh bool, learn func(*hostState)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, known := h.state[a]
	if !known && (!fresh || len(h.state) >= maxHostStates) {
		return
	}
	if h.state == nil {
		h.state = make(map[netip.AddrPort]hostState)
	}
	learn(&s)
	h.state[a] = s
}

// tend forgets addresses whose marks have run out. How often TLS failed is known for a while longer, because it is tried again
// only then.
func (h *hosts) tend(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for a, s := range h.state {
		if now.After(s.dead) && now.After(s.noAhead) && now.After(s.noChunks) && now.After(s.oneDomain) && now.After(s.tlsBroken.Add(tlsRecalled)) {
			delete(h.state, a)
		}
	}
}
