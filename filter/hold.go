package filter

import (
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
)

// Keeper is the session of a door whose reply may wait. Its methods are called on the goroutine of the session.
type Keeper interface {
	// Patience is how long a reply may wait here at most. It is 0 for mail that did not come by SMTP: one process of the MTA brings
	// all such mail, one message after the other.
	Patience() time.Duration
	// BeginHold says that the reply waits from now on: the door keeps its peer from giving up, until EndHold.
	BeginHold()
	EndHold()
	// Stopping is closed when the door stops.
	Stopping() <-chan struct{}
}

// Hold lets replies about bulk mail wait while the gate has no room, which slows its sender down. "Send" is a signal: when the gate
// opens, each reply that waits leaves at once. Each keeps a process of the MTA busy, so that only a few may wait, and only half of them
// for room at one site: mail for other sites finds room at the same time.
type Hold struct {
	held  atomic.Int64 // replies that wait
	sites atomic.Int64 // those of them that wait for one site
	waits atomic.Int64 // since the start
}

// Held is how many replies wait now, and how many have waited since the start.
func (h *Hold) Held() (now, since int64) { return h.held.Load(), h.waits.Load() }

// ask asks the gate, and lets the reply wait if room may be found soon. sessions is how many sessions the MTA has open. A reply
// that has waited is told of: for what, how long, and whether there is room now.
func (h *Hold) ask(gate *relay.Gate, k Keeper, sessions int64, ask func() *relay.Grant, tell func(why string, waited time.Duration, room bool)) *relay.Grant {
	grant := ask()
	if grant.Waits() == relay.Enough {
		return grant
	}
	cfg := gate.Config()
	limit := min(cfg.Hold, k.Patience())
	if limit <= 0 || !h.enter(cfg, grant.Waits(), sessions) {
		return grant
	}
	defer h.leave(grant.Waits())
	why, since := grant.Scarce(), time.Now()
	grant = h.wait(gate, k, limit, grant, ask)
	tell(why.Text, time.Since(since), !grant.Scarce().Waits())
	return grant
}

// wait asks again whenever the gate opens, until there is room, the time is over, or the door stops.
func (h *Hold) wait(gate *relay.Gate, k Keeper, limit time.Duration, grant *relay.Grant, ask func() *relay.Grant) *relay.Grant {
	k.BeginHold()
	defer k.EndHold()
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		opened := gate.Opened() // before the question: what opens behind it is not missed
		grant.Release()
		if grant = ask(); grant.Waits() == relay.Enough {
			return grant
		}
		select {
		case <-opened:
		case <-over.C:
			return grant
		case <-k.Stopping():
			return grant
		}
	}
}

// enter counts a reply that waits, and reports false when there are enough. A third of the processes that the MTA has left may wait.
func (h *Hold) enter(cfg relay.GateConfig, s relay.Scarcity, sessions int64) bool {
	most := int64(cfg.MaxHeld)
	if cfg.MTAProcesses > 0 {
		most = min(most, (int64(cfg.MTAProcesses)-sessions+h.held.Load())/3)
	}
	if h.held.Add(1) > most {
		h.held.Add(-1)
		return false
	}
	if s == relay.ScarceSite && h.sites.Add(1) > max(most/2, 1) {
		h.leave(s)
		return false
	}
	h.waits.Add(1)
	return true
}

// leave counts a reply out.
func (h *Hold) leave(s relay.Scarcity) {
	h.held.Add(-1)
	if s == relay.ScarceSite {
		h.sites.Add(-1)
	}
}
