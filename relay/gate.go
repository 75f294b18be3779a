package relay

import (
	"container/list"
	"fmt"
	"sync"
	"time"
)

// GateDeps are what a Gate works with.
type GateDeps struct {
	Site      func(domain string) string // the site that gets the domain's mail; "" while it is not known; nil: each domain is one
	Draining  func() Reason              // why nothing more may be taken, on an admin's order; nil: there is no such order
	Allowance Allowance                  // how many recipients may be taken; nil: any number
	Changed   func(GateChange)           // told of each step of a gate; may be nil
}

// Allowance bounds how many recipients may be taken: licence.Meter is one.
type Allowance interface {
	// Reserve keeps room for so many recipients of the tenant's until free is called; free is nil when there is nothing to keep. Else why
	// says what is used up, and nothing is kept. It must not block. The gate calls neither under its mutex: deliveries wait for that.
	Reserve(tenant string, rcpts int) (free func(), why Reason)
}

// Gate decides whether new mail may be taken: all mail, the mail of a tenant, the mail of a site. A door asks it when it knows that a
// message is bulk, and before it receives the body. Ask never blocks: a door that may let a reply wait does so until Opened tells that
// something has changed.
//
// # Room follows rate
//
// While half of the room is free, nobody is bounded. Above that a site has a share of the room in proportion to the rate at which it
// takes mail, so that faster receivers are fed more. The sites that take nothing have an eighth together, so that one domain that
// defers cannot take the room of all. A site of which nothing is known begins with a small share, which doubles with its success. What
// is in stays in, also when a share shrinks.
//
// # What is counted
//
// A Room per site counts the nodes that wait for it, from Accept to their last outcome, and their bytes. The room as a whole is the
// larger one of two parts: the bytes of the Budget that are used, and the messages of queue.max_messages. One mutex guards all of it.
// It is held for a few sums, and nothing under it walks all sites.
type Gate struct {
	deps   GateDeps
	queues *QueueMap

	mu      sync.Mutex
	cfg     GateConfig
	all     sluice
	rooms   map[string]*Room // by site
	idle    *list.List       // rooms with nothing in them, the longest idle first
	tenants map[string]*Room
	shut    map[*Room]bool // rooms that are not open
	granted int            // places that Ask has granted and Accept has not redeemed yet
	waiting int            // nodes in rooms
	dead    int            // nodes in rooms that take nothing
	deadB   int64          // and their bytes
	sent    meter          // nodes that any site has taken
	intake  intakeLoad
	full    bool          // more than half of the room was used when last looked at
	opened  chan struct{} // closed when something has opened
	changes []GateChange  // that unlock tells
	lefts   [numGateScopes]int64
}

// Scopes of a gate, for GateStatus.
const (
	scopeAll = iota
	scopeSite
	scopeTenant
	numGateScopes
)

// NewGate returns an open gate. The configuration has been validated. QueueMap binds it.
func NewGate(cfg GateConfig, deps GateDeps) *Gate {
	return &Gate{
		deps: deps, cfg: cfg, rooms: make(map[string]*Room), idle: list.New(), tenants: make(map[string]*Room),
		shut: make(map[*Room]bool), opened: make(chan struct{}),
	}
}

// SetConfig replaces the configuration, which has been validated.
func (g *Gate) SetConfig(cfg GateConfig) {
	g.mu.Lock()
	defer g.unlock()
	g.cfg = cfg
	g.open() // whoever waits asks again by the new rules
}

// Config is the configuration in force.
func (g *Gate) Config() GateConfig {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg
}

// unlock ends what mu guards, and tells the changes outside of it.
func (g *Gate) unlock() {
	changes := g.changes
	g.changes = nil
	g.mu.Unlock()
	if g.deps.Changed != nil {
		for _, c := range changes {
			g.deps.Changed(c)
		}
	}
}

// Opened returns a channel that is closed when something has opened since. Whoever waits takes it before it asks.
func (g *Gate) Opened() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}

// open wakes those who wait. The mutex is held.
func (g *Gate) open() {
	close(g.opened)
	g.opened = make(chan struct{})
}

// Parts of the room as a whole.
const (
	plenty   = 0.5              // up to this nobody is bounded
	holdAt   = 15.0 / 16        // from here on replies wait
	openAt   = 7.0 / 8          // until it is this again
	deadPart = 1.0 / 8          // of the sites that take nothing
	reopen   = 0.9              // of a site's share: below this it opens again
	never    = 1000 * time.Hour // a site that takes nothing
)

// fill is the part of the room that is used, what is granted included. The mutex is held.
func (g *Gate) fill() float64 {
	q := g.queues
	messages := float64(q.counts.messages.Load()) + float64(g.granted)
	return max(q.budget.Fill(), messages/float64(q.cfg.Load().MaxMessages))
}

// part is the part of the room that so many nodes and bytes use.
func (g *Gate) part(nodes int, bytes int64) float64 {
	return max(g.queues.budget.Part(bytes), float64(nodes)/float64(g.queues.cfg.Load().MaxMessages))
}

// verdict is how one gate meets new mail, and why.
type verdict struct {
	state   GateState
	why     Reason
	patient bool // it may open within the time of a hold
}

// judge looks at all mail. The mutex is held.
func (g *Gate) judge(now time.Time) verdict {
	v := g.verdict(now)
	g.step(&g.all, v, GateChange{Of: "all mail"}, now)
	return v
}

// step brings a gate into the state that the verdict asks for. A gate that leaves mail with the MTA does so until it opens. The mutex
// is held.
func (g *Gate) step(s *sluice, v verdict, change GateChange, now time.Time) {
	next := v.state
	if next != GateOpen {
		next = max(next, s.state)
	}
	c, ok := s.enter(next, v.why, now)
	if !ok {
		return
	}
	c.Of, c.Name = change.Of, change.Name
	g.changes = append(g.changes, c)
	if next == GateOpen {
		g.open()
	}
}

// verdict is judge without its effect. Once the gate is not open, it opens at a lower mark than it closed at.
func (g *Gate) verdict(now time.Time) verdict {
	if g.deps.Draining != nil {
		if why := g.deps.Draining(); why.Waits() {
			return verdict{state: GateOverflow, why: why}
		}
	}
	if err := g.queues.deps.Journal.Unwritable(); err != nil {
		return verdict{state: GateOverflow, why: WaitFor(ReasonJournal, "", err.Error(), time.Time{})}
	}
	shut := g.all.state != GateOpen
	if fill := g.fill(); fill >= holdAt || shut && fill > openAt {
		return verdict{GateHold, WaitFor(ReasonMemory, "", fmt.Sprintf("%.0f %% of %s is used", 100*fill, g.scarce()), time.Time{}), true}
	}
	if text := g.intake.behind(g.cfg, shut, now); text != "" {
		return verdict{GateHold, WaitFor(ReasonJournal, "", text, time.Time{}), true}
	}
	if text := g.drains(g.waiting, &g.sent, shut, now); text != "" {
		return verdict{GateHold, WaitFor(ReasonRate, "", text, time.Time{}), true}
	}
	return verdict{}
}

// scarce is the key that says how large the room is.
func (g *Gate) scarce() string {
	if q := g.queues; q.budget.Fill() < float64(q.counts.messages.Load()+int64(g.granted))/float64(q.cfg.Load().MaxMessages) {
		return "queue.max_messages"
	}
	return "queue.max_bytes"
}

// drains says that so many nodes take longer than max_drain at the rate of m, or returns "".
func (g *Gate) drains(nodes int, m *meter, shut bool, now time.Time) string {
	most := g.cfg.MaxDrain
	if most == 0 || nodes == 0 {
		return ""
	}
	rate, known := m.rate(now)
	if !known {
		return ""
	}
	takes := drainTime(nodes, rate)
	if takes < most && !(shut && takes > most*4/5) {
		return ""
	}
	return fmt.Sprintf("%d messages wait, which takes %s at %.3g a second; gate.max_drain is %s", nodes, takes.Round(time.Second), rate, most)
}

func drainTime(nodes int, rate float64) time.Duration {
	if rate <= 0 {
		return never
	}
	if s := float64(nodes) / rate; s < never.Seconds() {
		return time.Duration(s * float64(time.Second))
	}
	return never
}
