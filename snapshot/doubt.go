package snapshot

import (
	"errors"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// doubt is whether the receiver of a node that was begun has the message.
type doubt struct {
	before bool // it was in doubt before the present visit
	lost   bool // the reply to the present visit, or to one of this life, was lost
}

// Begin implements relay.Journal. The mark is in force until a receiver has said something about the node or its message
// is gone. There is nothing to wait for with ack = "memory", and after the state directory was deleted.
func (a *Agent) Begin(n *relay.Node) relay.Record {
	k := nodeOf(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.where[relay.ID(k.ID)] == nil {
		return nil
	}
	d, doubted := a.begun[k]
	d.before = doubted
	mute := a.mute.Load()
	if doubted || mute == nil {
		a.begun[k] = d
	}
	if mute != nil {
		return newFailed(*mute)
	}
	a.cur.marks = format.AppendBegun(a.cur.marks, k)
	a.arm()
	if a.cfg.Ack == AckMemory || errors.Is(a.blocked, errGone) {
		return nil
	}
	return a.cur
}

// Unwritable implements relay.Journal. With ack = "memory" nothing waits for the disk. Nor does anything after the state
// directory was deleted: what cannot come back cannot be sent twice, and to send it is all that is left to do.
func (a *Agent) Unwritable() error {
	if mute := a.mute.Load(); mute != nil {
		return *mute
	}
	return nil
}

// heard records that the MTA knows of a message, which may be gone by now.
func (a *Agent) heard(id relay.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.unheard[id]; ok {
		delete(a.unheard, id)
		a.cur.marks = format.AppendHeard(a.cur.marks, uint64(id))
		a.arm()
	}
}

// hungUp keeps in mind that the MTA does not know of a message, as long as the message is here.
func (a *Agent) hungUp(id relay.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.where[id] != nil {
		a.unheard[id] = true
	} else {
		delete(a.unheard, id)
	}
}

// lostReply keeps the mark of n over the deferral that follows: its receiver may have the message.
func (a *Agent) lostReply(n *relay.Node) {
	k := nodeOf(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	if d, ok := a.begun[k]; ok {
		d.lost = true
		a.begun[k] = d
	}
}

// putBack takes back that n was begun: its receiver has nothing by that.
func (a *Agent) putBack(n *relay.Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takeBack(nodeOf(n), n.Class)
}

// takeBack ends the doubt about a node, unless it is older than the present visit. The mutex is held.
func (a *Agent) takeBack(k format.Node, class string) {
	if d, ok := a.begun[k]; !ok || d.before || d.lost {
		return
	}
	delete(a.begun, k)
	s, ok := a.soft.at(k)
	if !ok {
		s = format.Wait{Class: class}
	}
	a.cur.marks = format.AppendWait(a.cur.marks, k, s)
	a.arm()
}

// takeBackAll is for a clean stop: no visit is under way, so what was begun and not decided came to nothing. The mutex is
// held.
func (a *Agent) takeBackAll() {
	for k := range a.begun {
		if e := a.where[relay.ID(k.ID)]; e != nil {
			a.takeBack(k, e.msg.Class)
		}
	}
}

// Told says that what Recover gave out as doubtful is known to a human: on record elsewhere. Until then it is given out
// again by the next start, whatever snapshots are taken.
func (a *Agent) Told() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.untold {
		delete(a.unheard, id)
	}
	a.untold = nil
}

// handOn keeps what was given out as doubtful in mind, until Told.
func (a *Agent) handOn(deaf map[relay.ID]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.untold = deaf
	for id := range deaf {
		a.unheard[id] = true
	}
}
