package relay

import (
	"container/list"
	"fmt"
	"math/bits"
	"time"
)

// Room is the place that the mail of one site, or of one tenant, takes. The gate's mutex guards its fields.
type Room struct {
	key    string
	tenant bool
	most   int // messages, of a tenant; 0: any number

	sluice
	granted int   // places that Ask has granted
	nodes   int   // that wait; of a tenant: messages
	bytes   int64 // of the nodes
	dead    bool  // it takes nothing, and counts among the dead

	taken  meter     // nodes that the site has taken
	sent   int       // how many since it was known
	began  time.Time // when the first node came of those that wait
	first  time.Time // when it took the first one
	last   time.Time // when it took the last one
	failed bool      // it has deferred one since

	idle *list.Element // its place among the idle rooms; nil: it is not idle
}

// What is known of a site that has nothing to send is kept for so many sites, at so many bytes each.
const (
	maxIdleRooms = 10_000
	roomCost     = 400
)

// deadAfter is how long a site that defers may take nothing before it counts as dead.
const deadAfter = 10 * time.Second

// room finds or makes the room of a site. The mutex is held.
func (g *Gate) room(site string) *Room {
	r := g.rooms[site]
	if r == nil {
		r = &Room{key: site, taken: meter{paused: true}}
		g.rooms[site] = r
		g.queues.budget.Charge(AccountSites, roomCost)
	}
	if r.idle != nil {
		g.idle.Remove(r.idle)
		r.idle = nil
	}
	return r
}

// rest puts a room with nothing in it among the idle ones, and forgets the longest idle one when there are too many. The mutex is held.
func (g *Gate) rest(r *Room) {
	if r.tenant || r.nodes+r.granted > 0 || r.idle != nil {
		return
	}
	r.idle = g.idle.PushBack(r)
	if g.idle.Len() > maxIdleRooms {
		old := g.idle.Remove(g.idle.Front()).(*Room)
		delete(g.rooms, old.key)
		delete(g.shut, old)
		g.queues.budget.Refund(AccountSites, roomCost)
	}
}

// fillUp counts a node and its bytes in. The mutex is held.
func (g *Gate) fillUp(r *Room, bytes int64, now time.Time) {
	if r.nodes == 0 {
		r.taken.pause(false, now)
		r.began = now
	}
	r.nodes, r.bytes = r.nodes+1, r.bytes+bytes
	if r.dead {
		g.dead, g.deadB = g.dead+1, g.deadB+bytes
	}
	if !r.tenant {
		g.waiting++
	}
}

// vacate counts a node and its bytes out. The mutex is held.
func (g *Gate) vacate(r *Room, bytes int64, now time.Time) {
	r.nodes, r.bytes = r.nodes-1, r.bytes-bytes
	if r.dead {
		g.dead, g.deadB = g.dead-1, g.deadB-bytes
	}
	if !r.tenant {
		if g.waiting--; g.waiting == 0 {
			g.sent.pause(true, now)
		}
	}
	if r.nodes == 0 {
		r.taken.pause(true, now)
	}
	g.rest(r)
}

// bury counts r among the dead, or not any more. The mutex is held.
func (g *Gate) bury(r *Room, dead bool) {
	if r.dead == dead {
		return
	}
	r.dead = dead
	if dead {
		g.dead, g.deadB = g.dead+r.nodes, g.deadB+r.bytes
	} else {
		g.dead, g.deadB = g.dead-r.nodes, g.deadB-r.bytes
	}
}

// judgeRoom looks at the mail of one site or tenant. The mutex is held.
func (g *Gate) judgeRoom(r *Room, now time.Time) verdict {
	v := g.bound(r, now)
	of := "site"
	if r.tenant {
		of = "tenant"
	}
	g.step(&r.sluice, v, GateChange{Of: of, Name: r.key}, now)
	if r.state == GateOpen {
		delete(g.shut, r)
	} else {
		g.shut[r] = true
	}
	return v
}

// bound is judgeRoom without its effect on the state. Once a room is shut, it opens at a lower mark than it closed at.
func (g *Gate) bound(r *Room, now time.Time) verdict {
	if r.tenant {
		return g.boundTenant(r)
	}
	g.bury(r, r.failed && now.Sub(r.last) > deadAfter)
	if text := g.drains(r.nodes, &r.taken, r.state != GateOpen, now); text != "" && r.sent > 0 {
		return verdict{state: GateOverflow, why: WaitFor(ReasonRate, r.key, text, time.Time{})}
	}
	if g.fill() <= plenty {
		return verdict{}
	}
	if r.dead {
		return g.boundDead(r)
	}
	rate, _ := r.taken.rate(now)
	share, used := g.share(r, rate, now), g.part(r.nodes+r.granted, r.bytes)
	if used < share && (r.state == GateOpen || used < share*reopen) {
		return verdict{}
	}
	text := fmt.Sprintf("it has its share of the room, %.1f %%: %d messages wait, and it takes %.3g a second", 100*share, r.nodes, rate)
	excess := float64(r.nodes) * (1 - share*reopen/used) // nodes above the mark at which it opens
	soon := drainTime(int(excess), rate) < g.cfg.Hold || r.sent == 0 && !r.failed && now.Sub(r.began) < g.cfg.Hold
	state := GateOverflow
	if soon {
		state = GateHold
	}
	return verdict{state, WaitFor(ReasonMemory, r.key, text, time.Time{}), soon}
}

// boundTenant looks at the limit of a tenant.
func (g *Gate) boundTenant(r *Room) verdict {
	n := r.nodes + r.granted
	if r.most == 0 || n < r.most && (r.state == GateOpen || float64(n) < reopen*float64(r.most)) {
		return verdict{}
	}
	return verdict{GateHold, WaitFor(ReasonTenant, r.key, fmt.Sprintf("tenant %s has %d messages here; its max_messages is %d", r.key, r.nodes, r.most), time.Time{}), true}
}

// boundDead looks at a site that takes nothing.
func (g *Gate) boundDead(r *Room) verdict {
	used := g.part(g.dead, g.deadB)
	if used < deadPart && (r.state == GateOpen || used < deadPart*reopen) {
		return verdict{}
	}
	text := fmt.Sprintf("it takes nothing: %d messages wait, and such sites have their eighth of the room", r.nodes)
	return verdict{state: GateOverflow, why: WaitFor(ReasonSite, r.key, text, time.Time{})}
}

// Shares of a site of which little is known: a part of the room, and not less than so many messages.
const (
	leastShare    = 1.0 / 256
	leastMessages = 16
)

// share is the part of the room that a living site may have: as its rate is to that of all. A site begins with the least share, which
// doubles with its success until its rate is known. The mutex is held.
func (g *Gate) share(r *Room, rate float64, now time.Time) float64 {
	least := max(leastShare, leastMessages/float64(g.queues.cfg.Load().MaxMessages))
	living := max(1-g.part(g.dead, g.deadB), least)
	if r.sent == 0 {
		return least
	}
	share := living
	if all, _ := g.sent.rate(now); rate < all {
		share = living * rate / all
	}
	if now.Sub(r.first) < meterTime {
		share = min(share, least*float64(int(1)<<min(bits.Len(uint(r.sent/leastMessages)), 30)))
	}
	return max(share, least)
}

// settled notes what a visit of node n has brought, for the site's rate.
func (g *Gate) settled(n *Node, took, deferred bool, now time.Time) {
	r := n.room
	if g == nil || r == nil || !took && !deferred {
		return
	}
	g.mu.Lock()
	defer g.unlock()
	if !took {
		r.failed = true
		return
	}
	if r.sent == 0 {
		r.first = now
	}
	r.sent++
	r.last, r.failed = now, false
	g.bury(r, false)
	r.taken.add(1, now)
	g.sent.pause(false, now)
	g.sent.add(1, now)
}
