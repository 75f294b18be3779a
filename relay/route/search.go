package route

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// exchanger asks name servers: the client, or a fake in tests. It returns an
// answer for each question, in order; a question without a reply gets a soft one.
type exchanger interface {
	exchange(ctx context.Context, qs []question, p patience) []answer
}

// verdict is the result of a search in one word.
type verdict uint8

const (
	good    verdict = iota // a Route with hosts
	outage                 // the name servers do not answer, or fail
	unclear                // temporary, but DNS itself works: a CNAME loop
	lacking                // this machine could not ask
	missing                // the domain does not exist
	refused                // certain: the domain takes no mail, or none of ours, or leads to ourselves
)

// finding is the end of a search.
type finding struct {
	verdict verdict
	route   *Route
	ttl     time.Duration
	guard   *guard // by which it was judged
	// silent says that some question got no reply in time, so that more
	// patience could find more.
	silent bool
}

// searcher looks domains up. All lookups share it.
type searcher struct {
	rules atomic.Pointer[rules] // replaced by Reload
	memo  *memo
	guard atomic.Pointer[guard] // replaced when this host's addresses have changed, and by Reload
}

// rules are the configuration with its defaults, and the table.
type rules struct {
	Config
	table Table
}

// newSearcher makes a searcher on a host of which no address is known yet.
func newSearcher(cfg Config, table Table) *searcher {
	s := new(searcher)
	s.rules.Store(&rules{cfg, table})
	s.memo = newMemo(&s.rules)
	s.guard.Store(newGuard(cfg))
	return s
}

// search is one domain being looked up.
type search struct {
	*searcher
	cfg      *rules // of the beginning
	ex       exchanger
	guard    *guard
	domain   string
	patience patience
	port     uint16
	static   *hop // the table's decision, nil if it has none
	ttl      time.Duration
	silent   bool
}

// find looks a domain up by way of ex. It returns when ctx ends, at the latest.
func (s *searcher) find(ctx context.Context, domain string, p patience, ex exchanger) finding {
	cfg := s.rules.Load()
	x := &search{searcher: s, cfg: cfg, ex: ex, guard: s.guard.Load(), domain: domain, patience: p, port: cfg.Port, ttl: maxTTL}
	name, mx := domain, true
	if h, ok := cfg.table.find(domain); ok {
		if h.addr.IsValid() { // a reload has made it so while the domain waited
			return finding{verdict: good, route: h.fixedRoute(domain, cfg.Port), ttl: maxTTL, guard: x.guard}
		}
		x.static, name, mx = &h, h.host, h.mx
		x.port = h.portOr(cfg.Port)
	}
	f := x.run(ctx, name, mx)
	f.ttl, f.silent, f.guard = x.ttl, x.silent, x.guard
	if x.static != nil {
		f.operator()
	}
	return f
}

// operator makes a failure of a static route temporary: the fault is a mistake in
// the configuration or a broken relay, and not the recipient's.
func (f *finding) operator() {
	if f.route.Err != nil && f.route.Err.Permanent {
		f.route.Err = f.route.Err.softened("the static route's next hop")
		f.verdict = unclear
	}
	f.route.Static = true
}

// instant is the Route of a domain for which no name server is needed; nil if
// one is.
func (s *searcher) instant(domain string) *Route {
	cfg := s.rules.Load()
	if h, ok := cfg.table.find(domain); ok {
		if !h.addr.IsValid() {
			return nil
		}
		return h.fixedRoute(domain, cfg.Port)
	}
	if strings.HasPrefix(domain, "[") {
		return s.literal(domain)
	}
	if checkName(domain) != nil {
		return failed(domain, permanent(550, "5.1.2", domain+" is no domain name"))
	}
	return nil
}

// fixedRoute is the Route to a hop that is an address.
func (h hop) fixedRoute(domain string, port uint16) *Route {
	port = h.portOr(port)
	return &Route{
		Domain: domain, Site: h.site(port), Port: port, Static: true,
		Hosts: []Host{{Name: h.addr.String(), Addrs: addrList(h.addr)}},
	}
}

// literal is the Route of an address literal.
func (s *searcher) literal(domain string) *Route {
	guard, cfg := s.guard.Load(), s.rules.Load()
	a, err := parseLiteral(domain)
	a = a.Unmap()
	switch {
	case err != nil || !cfg.Literals:
		return failed(domain, permanent(550, "5.1.2", "mail to an address in place of a domain, "+domain+", is not delivered"))
	case guard.isSelf("", addrList(a)):
		return failed(domain, ourselves("4.4.6", domain+" is an address of this host"))
	case guard.forbids(a):
		return failed(domain, permanent(550, "5.4.4", "address "+domain+" is prohibited"))
	case guard.prohibits(a):
		return failed(domain, ourselves("4.4.6", domain+" is an address of the local network"))
	}
	return &Route{
		Domain: domain, Site: domain, Port: cfg.Port,
		Hosts: []Host{{Name: domain, Addrs: addrList(a)}},
	}
}

// run finds the hosts, then their addresses (RFC 5321 §5.1).
func (x *search) run(ctx context.Context, name string, mx bool) finding {
	if !mx {
		return x.resolve(ctx, []mxRecord{{host: name}})
	}
	a := x.askMX(ctx, name)
	x.silent = a.kind == silent
	x.ttl = a.ttl
	switch a.kind {
	case found:
		if a.null {
			return x.fail(refused, permanent(556, "5.1.10", x.domain+" accepts no mail ("+a.where()+": null MX)"))
		}
		return x.resolve(ctx, a.mx)
	case noData:
		return x.resolve(ctx, []mxRecord{{host: name}})
	case noName:
		return x.fail(missing, permanent(550, "5.1.2", "domain "+x.domain+" does not exist ("+a.where()+": NXDOMAIN)"))
	}
	return x.soft(a)
}

// askMX asks for the MX records of a name. The answer about the next hop of a
// static route is remembered, because many domains may share that hop. The answer
// about a domain is not: the cache of Routes has it already.
func (x *search) askMX(ctx context.Context, name string) answer {
	q := question{name, dns.TypeMX}
	if x.static != nil {
		return x.ask(ctx, []question{q})[0]
	}
	return x.chase(ctx, []question{q})[0]
}

// ask gets answers about hosts: remembered ones, and the rest in one batch.
func (x *search) ask(ctx context.Context, qs []question) []answer {
	answers := make([]answer, len(qs))
	var open []question
	var places []int
	for i, q := range qs {
		a, ok := x.memo.fresh(q, time.Now())
		if !ok {
			open, places = append(open, q), append(places, i)
		}
		answers[i] = a
	}
	if len(open) > 0 {
		for i, a := range x.chase(ctx, open) {
			answers[places[i]] = x.memo.keep(open[i], a, time.Now())
		}
	}
	return answers
}

// chase asks the name servers, and again where the answer is an alias whose
// target they left out. Each round makes every chain longer, so that maxChain
// bounds the rounds.
func (x *search) chase(ctx context.Context, qs []question) []answer {
	answers := x.ex.exchange(ctx, qs, x.patience)
	for range maxChain {
		var open []question
		var places []int
		for i, a := range answers {
			if a.kind == alias {
				open, places = append(open, question{a.next, qs[i].qtype}), append(places, i)
			}
		}
		if len(open) == 0 {
			return answers
		}
		for i, a := range x.ex.exchange(ctx, open, x.patience) {
			answers[places[i]] = answers[places[i]].join(a)
		}
	}
	for i := range answers {
		if answers[i].kind == alias {
			answers[i].kind, answers[i].why = broken, "CNAME chain of more than 10"
		}
	}
	return answers
}

// fail ends the search without a Route.
func (x *search) fail(v verdict, err *Error) finding {
	return finding{verdict: v, route: failed(x.domain, err)}
}

// soft ends the search because of an answer that says nothing about the name.
func (x *search) soft(a answer) finding {
	v, err := outage, temporary("4.4.3", x.unanswered(a))
	switch a.kind {
	case broken:
		v = unclear
	case unasked:
		v, err = lacking, &Error{Code: 451, Enhanced: "4.3.0", Text: "no name server can be asked: " + a.why, Cause: Shortage}
	}
	return x.fail(v, err)
}

// unanswered says what was asked, of whom, and what happened, and what it has to
// do with the domain.
func (x *search) unanswered(a answer) string {
	text := a.where() + ": " + a.why
	if a.of.name != x.domain {
		text += " (for the mail of " + x.domain + ")"
	}
	return text
}
