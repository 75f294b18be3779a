package relay

import (
	"slices"
	"time"
)

// Grant is the gate's answer to a door about one message: for which of its domains there is room. The places that it grants are kept
// for the message until Accept redeems them or Release gives them back. Only one goroutine may use a Grant.
type Grant struct {
	gate   *Gate
	all    verdict // on all its mail, or on that of its tenant
	tenant *Room   // where a place is granted; nil: none
	shut   *Room   // of the tenant, if that is what refuses
	free   func()  // gives back what is kept of the allowance; nil: nothing is
	places []place
	first  [1]place // most messages have one domain
}

// place is what a Grant says of one domain.
type place struct {
	domain  string // as the queue map names it
	site    string
	room    *Room // where a place is granted; nil: none
	refused *Room // which refuses; nil: none does
	verdict
}

// Ask asks for room for one message of the tenant, to one recipient of each of these domains. It never blocks.
func (g *Gate) Ask(tenant string, domains []string) *Grant {
	return g.AskFor(tenant, domains, len(domains))
}

// AskFor is Ask for so many recipients. The allowance has room for all of them or refuses the message as a whole.
func (g *Gate) AskFor(tenant string, domains []string, rcpts int) *Grant {
	gr := &Grant{gate: g}
	if gr.places = gr.first[:]; len(domains) != 1 {
		gr.places = make([]place, len(domains))
	}
	for i, d := range domains {
		p := &gr.places[i]
		p.domain = g.queues.domainName(d)
		p.site = g.siteOf(p.domain)
	}
	allowed := Reason{}
	if g.deps.Allowance != nil {
		gr.free, allowed = g.deps.Allowance.Reserve(tenant, rcpts)
	}
	if gr.ask(tenant, allowed); !gr.grants() {
		gr.freeAllowance()
	}
	return gr
}

// ask judges under the mutex, and books what is granted. allowed is why the allowance refuses the message, if it does.
func (gr *Grant) ask(tenant string, allowed Reason) {
	g, now := gr.gate, time.Now()
	g.mu.Lock()
	defer g.unlock()
	gr.all = g.judge(now)
	if gr.all.state == GateOpen && allowed.Waits() {
		gr.all = verdict{state: GateOverflow, why: allowed}
	}
	if t := g.tenants[tenant]; t != nil && gr.all.state == GateOpen {
		if gr.all = g.judgeRoom(t, now); gr.all.state == GateOpen {
			gr.tenant = t
		} else {
			gr.shut = t
		}
	}
	for i := range gr.places {
		g.look(&gr.places[i], gr.all, now)
	}
	gr.book()
}

// look grants a place at a site if there is one. The mutex is held.
func (g *Gate) look(p *place, all verdict, now time.Time) {
	if p.verdict = all; p.state != GateOpen {
		return
	}
	r := g.room(p.site)
	if p.verdict = g.judgeRoom(r, now); p.state != GateOpen {
		p.refused = r
		g.rest(r)
		return
	}
	p.room = r
	r.granted++
}

// book counts the message if a place was granted. Without any, it needs none with its tenant. The mutex is held.
func (gr *Grant) book() {
	if !gr.grants() {
		gr.tenant = nil
		return
	}
	gr.gate.granted++
	if gr.tenant != nil {
		gr.tenant.granted++
	}
}

// grants reports whether there is a place for any of the domains.
func (gr *Grant) grants() bool {
	return slices.ContainsFunc(gr.places, func(p place) bool { return p.room != nil })
}

// siteOf is the name of the room for a domain.
func (g *Gate) siteOf(domain string) string {
	if g.deps.Site != nil {
		if site := g.deps.Site(domain); site != "" {
			return site
		}
	}
	return domain
}

// Refuses reports whether there is no room for the i-th of the domains that were asked for.
func (gr *Grant) Refuses(i int) bool { return gr.places[i].room == nil }

// Why is the reason for which there is no room for the i-th domain.
func (gr *Grant) Why(i int) Reason { return gr.places[i].why }

// granted is the room where the domain has a place, or nil.
func (gr *Grant) granted(domain string) *Room {
	for i := range gr.places {
		if gr.places[i].domain == domain && gr.places[i].room != nil {
			return gr.places[i].room
		}
	}
	return nil
}

// Scarcity says for what a message may wait.
type Scarcity uint8

// Scarcities.
const (
	Enough     Scarcity = iota // there is room, or none is to be expected soon
	ScarceSite                 // a site has no room; there is room for other mail
	ScarceAll                  // there is no room for any mail, or for none of the tenant
)

// Waits says whether room may be found within the time of a hold, and what it is that lacks.
func (gr *Grant) Waits() Scarcity {
	if gr.all.state != GateOpen {
		if gr.all.patient {
			return ScarceAll
		}
		return Enough
	}
	for i := range gr.places {
		if gr.places[i].patient {
			return ScarceSite
		}
	}
	return Enough
}

// Scarce is why there is no room for the message, or for some of its domains; the zero Reason if there is room for all.
func (gr *Grant) Scarce() Reason {
	if gr.all.state != GateOpen {
		return gr.all.why
	}
	for i := range gr.places {
		if gr.Refuses(i) {
			return gr.Why(i)
		}
	}
	return Reason{}
}

// Shut says why no mail at all is taken, and none will be soon; the zero Reason when the message's domains decide.
func (g *Gate) Shut() Reason {
	g.mu.Lock()
	defer g.unlock()
	if v := g.judge(time.Now()); v.state != GateOpen && !v.patient {
		return v.why
	}
	return Reason{}
}

// Overflow notes that the message is left with the MTA for the domains that are refused, and says whether the MTA must rather refuse it:
// because enough mail was left since the gate closed.
func (gr *Grant) Overflow() (state GateState) {
	g := gr.gate
	g.mu.Lock()
	defer g.unlock()
	now := time.Now()
	switch {
	case gr.shut != nil:
		return g.overflow(&gr.shut.sluice, scopeTenant, GateChange{Of: "tenant", Name: gr.shut.key}, gr.all.why, now)
	case gr.all.state != GateOpen:
		return g.overflow(&g.all, scopeAll, GateChange{Of: "all mail"}, gr.all.why, now)
	}
	for i := range gr.places {
		if r := gr.places[i].refused; r != nil {
			state = max(state, g.overflow(&r.sluice, scopeSite, GateChange{Of: "site", Name: r.key}, gr.places[i].why, now))
		}
	}
	return state
}

// overflow counts a message that one gate has left with the MTA. The mutex is held.
func (g *Gate) overflow(s *sluice, scope int, change GateChange, why Reason, now time.Time) GateState {
	g.lefts[scope]++
	if s.state == GateOpen { // it has opened meanwhile
		return GateOverflow
	}
	next := s.noteLeft(g.cfg.MaxOverflow)
	g.step(s, verdict{state: next, why: why}, change, now)
	return next
}

// Release gives back the places that were granted and not redeemed.
func (gr *Grant) Release() {
	if gr == nil {
		return
	}
	g := gr.gate
	gr.freeAllowance()
	g.mu.Lock()
	defer g.unlock()
	gr.release()
}

// freeAllowance gives back what is kept of the allowance. Of a message that is taken it is given back when the event has told so: in
// between the message would be in no count, and another could take its place.
func (gr *Grant) freeAllowance() {
	if gr != nil && gr.free != nil {
		gr.free()
		gr.free = nil
	}
}

// release gives back the places, under the mutex.
func (gr *Grant) release() {
	g := gr.gate
	if gr.grants() {
		g.granted--
	}
	for i := range gr.places {
		if r := gr.places[i].room; r != nil {
			r.granted--
			gr.places[i].room = nil
			g.rest(r)
		}
	}
	if gr.tenant != nil {
		gr.tenant.granted--
		gr.tenant = nil
	}
}

// admit gives those of the nodes of msg their rooms that wait for a receiver, and releases the grant, if there is one. It refuses
// nothing: Ask has judged, and what was taken before stays.
func (g *Gate) admit(msg *Message, nodes []*Node, grant *Grant) {
	if g == nil {
		return
	}
	var one [1]string
	sites := one[:]
	if len(nodes) != 1 {
		sites = make([]string, len(nodes))
	}
	for i, n := range nodes {
		if n.Class() == ClassRemote {
			sites[i] = g.siteOf(n.Domain)
		}
	}
	g.mu.Lock()
	defer g.unlock()
	now := time.Now()
	for i, n := range nodes {
		if n.Class() != ClassRemote {
			continue
		}
		n.room = g.room(sites[i])
		if grant != nil {
			if r := grant.granted(n.Domain); r != nil {
				n.room = r
			}
		}
		g.fillUp(n.room, n.size(), now)
	}
	if t := g.tenants[msg.Flow().Tenant]; t != nil {
		msg.room = t
		g.fillUp(t, int64(msg.cost), now)
	}
	if grant != nil {
		grant.release()
	}
}

// size is the part of its message's memory that n stands for.
func (n *Node) size() int64 { return int64(n.Message.cost) / int64(n.Message.NodeCount()) }

// leave takes node n out of its room: its mail is gone, or goes to our own MTA.
func (g *Gate) leave(n *Node) {
	if g == nil || n.room == nil {
		return
	}
	g.mu.Lock()
	defer g.unlock()
	now, r := time.Now(), n.room
	n.room = nil
	g.vacate(r, n.size(), now)
	g.lookAgain(r, now)
}

// depart takes the message out of the room of its tenant.
func (g *Gate) depart(msg *Message) {
	if g == nil || msg.room == nil {
		return
	}
	g.mu.Lock()
	defer g.unlock()
	now, r := time.Now(), msg.room
	msg.room = nil
	g.vacate(r, int64(msg.cost), now)
	g.lookAgain(r, now)
}

// lookAgain opens what may be opened now that something has left. It is cheap while all is open. The mutex is held.
func (g *Gate) lookAgain(r *Room, now time.Time) {
	if g.all.state != GateOpen {
		g.judge(now)
	}
	if r.state != GateOpen {
		g.judgeRoom(r, now)
	}
	full := len(g.shut) > 0 && g.fill() > plenty
	if g.full && !full { // whoever waits for a share finds room
		g.open()
	}
	g.full = full
}
