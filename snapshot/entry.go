package snapshot

import (
	"slices"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// entry is what the ledger knows of a message that is not gone. ledger.mu guards it; the message itself is immutable.
type entry struct {
	msg       *relay.Message
	at        place
	from      *place    // where the message stood before, until the copy at at is durable
	nodes     *[]uint32 // node of each recipient; nil when there is one node
	redo      bool      // the record at from is lost; if this copy fails too, write it again
	acked     bool      // its door has been told that the message is taken
	waits     bool      // some node of it may have a waits record
	gone      bool
	refused   bool   // its door has been told that the message is not taken, although its record may be there
	hungUp    bool   // the MTA certainly has not heard that the message is taken
	prev, nxt *entry // the others in at.seg.live
}

// markDone sets recipient i done wherever the message stands, appends the marks that say so and why, and reports whether the
// recipient was open.
func (e *entry) markDone(i int, why format.Why, marks []byte) ([]byte, bool) {
	if !e.at.markDone(i) {
		return marks, false
	}
	marks = format.AppendDone(marks, e.at.seg.number, e.at.base+uint32(i), why)
	// Until the copy is durable, recovery may find the message at either place. He counts at one of them.
	if e.from != nil && e.from.markDone(i) {
		marks = format.AppendDone(marks, e.from.seg.number, e.from.base+uint32(i), format.WhyUnknown)
	}
	return marks, true
}

// appendHeard appends the marks that say that the MTA has heard of the message.
func (e *entry) appendHeard(marks []byte) []byte {
	marks = format.AppendHeard(marks, e.at.seg.number, e.at.base)
	if e.from != nil {
		marks = format.AppendHeard(marks, e.from.seg.number, e.from.base)
	}
	return marks
}

// link puts e into the list of the segment of p. The list is inside the entries, because a segment of 64 MB has 100,000 of them
// and each of them leaves in the middle.
func (e *entry) link(p place) {
	e.at = p
	e.prev, e.nxt = nil, p.seg.live
	if e.nxt != nil {
		e.nxt.prev = e
	}
	p.seg.live = e
}

// unlink takes e out of the list of its segment.
func (e *entry) unlink() {
	if e.prev != nil {
		e.prev.nxt = e.nxt
	} else {
		e.at.seg.live = e.nxt
	}
	if e.nxt != nil {
		e.nxt.prev = e.prev
	}
	e.prev, e.nxt = nil, nil
}

// nodeCount is the number of nodes of the message. The nodes themselves may be gone by now, so nodes is asked.
func (e *entry) nodeCount() int {
	if e.nodes == nil {
		return 1
	}
	return int(slices.Max(*e.nodes)) + 1
}

// Copies. A message is copied into the active segment for one of two reasons: its segment is nearly finished and can be deleted
// without it, or its record is lost with a broken segment. Until the copy is durable the message stands at both places and
// every outcome is marked at both, because recovery may find either.

// copyInto writes e once more, into b. unheard says that the MTA may not have heard of the message.
func (e *entry) copyInto(b *batch, unheard bool) {
	old := e.at
	t := takeOf(e.msg, e.nodes, b.rcpts)
	t.Copied, t.Unheard, t.Again = true, unheard, e.redo
	t.Origin = format.Origin{Segment: old.seg.number, Base: old.base}
	for i := range e.msg.Rcpts {
		if old.isDone(i) {
			t.Done = append(t.Done, i)
		}
	}
	p := b.appendTake(e.msg, &t)
	for _, i := range t.Done {
		p.markDone(i)
	}
	e.unlink()
	e.from = &old
	old.seg.moved++
	e.link(p)
	b.copies = append(b.copies, e)
}

// confirmCopy lets the copy, which is durable, take the place of what it was made from.
func (e *entry) confirmCopy() {
	old := e.from
	e.from, e.redo = nil, false
	old.seg.moved--
	old.markAll(e.msg.RcptCount())
}

// undoCopy puts e back where it stood, because its copy was not written. It reports whether the message has no record there
// either and must be written again.
func (e *entry) undoCopy() bool {
	old := e.from
	e.from = nil
	old.seg.moved--
	e.at.markAll(e.msg.RcptCount())
	if e.gone {
		e.at = *old
		return false
	}
	e.unlink()
	e.link(*old)
	return e.redo
}
