package snapshot

import (
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// doubt: delivery of this node was started and no reply is on record, so the receiver may already have the message.
type doubt struct {
	visit  bool   // a visit is under way whose end is not on record: the doubt is about it
	before bool   // the doubt is, or is also, about an earlier visit
	lost   bool   // the reply to the present visit, or to an earlier one of this start, was lost
	told   bool   // the mail log was told of the earlier visit; it names its recipients with its next flush
	early  *batch // it has the mark of a visit that has not begun; nil: the visit has
}

// doubts holds the two things a restart must know beside who is done: which receivers may have a message that is not done,
// and which messages the MTA may offer again. It has no lock of its own: ledger.mu guards it. Its methods decide, and the
// ledger writes the marks.
type doubts struct {
	// nodes are those in doubt.
	nodes map[format.Node]doubt
	// unheard: messages in the journal whose "taken" reply may not have reached the MTA. The MTA may offer them again. Some are
	// gone: a fast receiver can answer before the door has.
	unheard map[relay.ID]*entry
	// unnamed: of the unheard, the messages that the last start left and that the mail log has not named yet.
	unnamed map[relay.ID]bool
}

// newDoubts returns doubts about nothing; recovery adds those that the last start left.
func newDoubts() doubts {
	return doubts{nodes: make(map[format.Node]doubt), unheard: make(map[relay.ID]*entry)}
}

// expect notes that b has the mark of a visit of n that will begin soon. It reports false, and notes nothing, if there is a doubt
// already.
func (d *doubts) expect(n format.Node, b *batch) bool {
	if _, ok := d.nodes[n]; ok {
		return false
	}
	d.nodes[n] = doubt{visit: true, early: b}
	return true
}

// redeem notes that a visit begins that was expected, and returns the commit that has its mark; nil: there is none.
func (d *doubts) redeem(n format.Node) *batch {
	x := d.nodes[n]
	if x.early == nil {
		return nil
	}
	if x.early.failed() { // its marks are in another commit, nobody knows in which
		delete(d.nodes, n)
		return nil
	}
	d.nodes[n] = doubt{visit: true}
	return x.early
}

// lapse ends the doubt about n when the visit that was expected has not begun, and reports whether it did.
func (d *doubts) lapse(n format.Node) bool {
	x := d.nodes[n]
	if x.early != nil {
		delete(d.nodes, n)
	}
	return x.early != nil
}

// arise notes that a visit of n begins. When the journal is unwritable, nothing is sent, so no new doubt arises; an older
// doubt stays.
func (d *doubts) arise(n format.Node, unwritable bool) {
	x, before := d.nodes[n]
	if x.early != nil { // unwritable is set: the mark is there, and is taken back with the visit
		return
	}
	x.before = before
	x.visit = x.visit || !unwritable
	if before || !unwritable {
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
	if x.early == nil && (x.lost || !reached) {
		d.nodes[n] = doubt{before: true, told: x.told || x.lost}
		return true
	}
	delete(d.nodes, n)
	return false
}

// withdraw ends the doubt about n because the present visit gave the receiver nothing. It reports false when there is no
// doubt, or when the doubt is older than the visit or a reply was lost.
func (d *doubts) withdraw(n format.Node) bool {
	x, ok := d.nodes[n]
	if !ok || x.before || x.lost {
		if x.visit = false; ok {
			d.nodes[n] = x
		}
		return false
	}
	delete(d.nodes, n)
	return true
}

// inherit notes a doubt that an earlier start left. The mail log is told of it, and until it has named the recipients the next
// start inherits the doubt again.
func (d *doubts) inherit(n format.Node) { d.nodes[n] = doubt{before: true, told: true} }

// toName lists the nodes in doubt of which the mail log was told.
func (d *doubts) toName() (nodes []format.Node) {
	for n, x := range d.nodes {
		if x.told {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// nameNode notes that the mail log has named the recipients of n: the earlier visits are no doubt any more. It reports whether
// none is left. A visit that is under way is another event, with a name of its own to come.
func (d *doubts) nameNode(n format.Node) bool {
	x, ok := d.nodes[n]
	if !ok || !x.told {
		return false
	}
	if x.visit {
		d.nodes[n] = doubt{visit: true, lost: x.lost}
		return false
	}
	delete(d.nodes, n)
	return true
}

// isUnheard reports whether the MTA may not have heard of a message.
func (d *doubts) isUnheard(id relay.ID) bool { return d.unheard[id] != nil }

// hear notes that the MTA has heard, and returns the message if that is news: only news is worth a mark. The message may be gone
// by now.
func (d *doubts) hear(id relay.ID) *entry {
	e := d.unheard[id]
	delete(d.unheard, id)
	return e
}

// hangUp notes that the MTA certainly has not heard of e. That is of use as long as the message is here; afterwards, when e is nil,
// the door's log line has said it.
func (d *doubts) hangUp(id relay.ID, e *entry) {
	if e == nil {
		delete(d.unheard, id)
		return
	}
	e.hungUp = true
	d.unheard[id] = e
}

// dropMessage ends all doubt about a message that is gone. Whether the MTA has heard stays open if the door will still say so.
func (d *doubts) dropMessage(e *entry) {
	if e.hungUp {
		delete(d.unheard, e.msg.ID)
	}
	for i := range e.nodeCount() {
		delete(d.nodes, format.Node{ID: uint64(e.msg.ID), Index: uint32(i)})
	}
}

// name notes that the mail log has named the messages handed on, and returns those about which there was doubt until now.
func (d *doubts) name() (heard []*entry) {
	for id := range d.unnamed {
		if e := d.hear(id); e != nil {
			heard = append(heard, e)
		}
	}
	d.unnamed = nil
	return heard
}

// toHandOn lists the messages a snapshot must name as unheard. A clean one leaves out those whose MTA hung up in this start:
// the door's log line has told of them, and no crash made them.
func (d *doubts) toHandOn(clean bool) []relay.ID {
	var ids []relay.ID
	for id, e := range d.unheard {
		if !clean || !e.hungUp || d.unnamed[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
