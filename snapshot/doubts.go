package snapshot

import (
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// doubt: delivery of this node was started and no reply is on record, so the receiver may already have the message.
type doubt struct {
	before bool // the doubt is older than the present visit
	lost   bool // the reply to the present visit, or to an earlier one of this start, was lost
}

// doubts holds the two things a restart must know beside who is done: which receivers may have a message that is not done,
// and which messages the MTA may offer again. It has no lock of its own: ledger.mu guards it. Its methods decide, and the
// ledger writes the marks.
type doubts struct {
	// nodes are those in doubt.
	nodes map[format.Node]doubt
	// unheard: messages in the journal whose "taken" reply may not have reached the MTA (true: it certainly did not). The MTA
	// may offer them again.
	unheard map[relay.ID]bool
	// unnamed: of the unheard, the messages that the last start left and that the mail log has not named yet.
	unnamed map[relay.ID]bool
}

// newDoubts returns doubts about nothing; recovery adds those that the last start left.
func newDoubts() doubts {
	return doubts{nodes: make(map[format.Node]doubt), unheard: make(map[relay.ID]bool)}
}

// arise notes that a visit of n begins. When the journal is unwritable, nothing is sent, so no new doubt arises; an older
// doubt stays.
func (d *doubts) arise(n format.Node, unwritable bool) {
	x, before := d.nodes[n]
	if x.before = before; before || !unwritable {
		d.nodes[n] = x
	}
}

// loseReply keeps the doubt about n over the deferral that follows: its receiver may have the message.
func (d *doubts) loseReply(n format.Node) {
	if x, ok := d.nodes[n]; ok {
		x.lost = true
		d.nodes[n] = x
	}
}

// outlive is asked at the deferral of n and reports whether the doubt stays: the reply was lost, or no receiver was reached
// that could have answered. Any other deferral is a reply, and the receiver does not have the message.
func (d *doubts) outlive(n format.Node, reached bool) bool {
	x, ok := d.nodes[n]
	if !ok {
		return false
	}
	if x.lost || !reached {
		d.nodes[n] = doubt{before: true}
		return true
	}
	delete(d.nodes, n)
	return false
}

// withdraw ends the doubt about n because the present visit gave the receiver nothing. It reports false when there is no
// doubt, or when the doubt is older than the visit or a reply was lost.
func (d *doubts) withdraw(n format.Node) bool {
	if x, ok := d.nodes[n]; !ok || x.before || x.lost {
		return false
	}
	delete(d.nodes, n)
	return true
}

// inherit notes a doubt that an earlier start left. It is still true when this start ends before a reply is on record.
func (d *doubts) inherit(n format.Node) { d.nodes[n] = doubt{before: true} }

// hear notes that the MTA has heard, and reports whether that is news: only news is worth a mark. The message itself may be
// gone by now.
func (d *doubts) hear(id relay.ID) bool {
	_, news := d.unheard[id]
	delete(d.unheard, id)
	return news
}

// hangUp notes that the MTA certainly has not heard. That is of use as long as the message is here; afterwards the door's
// log line has said it.
func (d *doubts) hangUp(id relay.ID, here bool) {
	if here {
		d.unheard[id] = true
	} else {
		delete(d.unheard, id)
	}
}

// dropMessage ends all doubt about a message that is gone. Whether the MTA has heard stays open if the door will still say so.
func (d *doubts) dropMessage(id relay.ID, nodes int) {
	if d.unheard[id] {
		delete(d.unheard, id)
	}
	for i := range nodes {
		delete(d.nodes, format.Node{ID: uint64(id), Index: uint32(i)})
	}
}

// handOn keeps the unheard messages of the last start in mind until they are named.
func (d *doubts) handOn(unheard map[relay.ID]bool) {
	d.unnamed = unheard
	for id := range unheard {
		d.unheard[id] = true
	}
}

// name notes that the mail log has named the messages handed on.
func (d *doubts) name() {
	for id := range d.unnamed {
		delete(d.unheard, id)
	}
	d.unnamed = nil
}

// toHandOn lists the messages a snapshot must name as unheard. A clean one leaves out those whose MTA hung up in this start:
// the door's log line has told of them, and no crash made them.
func (d *doubts) toHandOn(clean bool) []relay.ID {
	var ids []relay.ID
	for id, hungUp := range d.unheard {
		if !clean || !hungUp || d.unnamed[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
