package snapshot

import (
	"slices"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// entry is what the ledger knows of a message that is not gone. ledger.mu guards it; the message itself is immutable. A million
// of them wait, so what is known of few messages stands apart.
type entry struct {
	msg    *relay.Message
	seg    *segment // where the message stands
	base   uint32   // position there of its first recipient
	acked  bool     // its door has been told that the message is taken
	waits  bool     // some node of it may have a waits record
	gone   bool
	hungUp bool  // the MTA certainly has not heard that the message is taken
	rare   *rare // nil: nothing of it is so
}

// rare is what is known of few messages.
type rare struct {
	nodes   []uint32 // node of each recipient; nil when there is one node
	from    place    // where the message stood before, until the copy at at is durable
	redo    bool     // the record at from is lost; if this copy fails too, write it again
	refused bool     // its door has been told that the message is not taken, although its record may be there
}

// newEntry returns the entry of a message with these nodes, nil for one node, which stands nowhere yet.
func newEntry(m *relay.Message, nodes []uint32) *entry {
	e := &entry{msg: m}
	if nodes != nil {
		e.rare = &rare{nodes: nodes}
	}
	return e
}

// special is what is rare about e, to be changed.
func (e *entry) special() *rare {
	if e.rare == nil {
		e.rare = new(rare)
	}
	return e.rare
}

// known is what is rare about e, to be read.
func (e *entry) known() rare {
	if e.rare == nil {
		return rare{}
	}
	return *e.rare
}

// at is where the message stands.
func (e *entry) at() place { return place{e.seg, e.base} }

// markDone sets recipient i done wherever the message stands, appends the marks that say so and why, and reports whether the
// recipient was open.
func (e *entry) markDone(i int, why format.Why, marks []byte) ([]byte, bool) {
	if !e.at().markDone(i) {
		return marks, false
	}
	marks = format.AppendDone(marks, e.seg.number, e.base+uint32(i), why)
	// Until the copy is durable, recovery may find the message at either place. He counts at one of them.
	if from := e.known().from; from.seg != nil && from.markDone(i) {
		marks = format.AppendDone(marks, from.seg.number, from.base+uint32(i), format.WhyUnknown)
	}
	return marks, true
}

// appendHeard appends the marks that say that the MTA has heard of the message.
func (e *entry) appendHeard(marks []byte) []byte {
	marks = format.AppendHeard(marks, e.seg.number, e.base)
	if from := e.known().from; from.seg != nil {
		marks = format.AppendHeard(marks, from.seg.number, from.base)
	}
	return marks
}

// stand puts e at p, where it is counted. copied says that it was taken elsewhere.
func (e *entry) stand(p place, copied bool) {
	e.seg, e.base = p.seg, p.base
	p.seg.lives.add(e.msg.ID, copied)
}

// leave takes e away from its segment, where it is counted no more.
func (e *entry) leave() { e.seg.lives.n-- }

// nodeCount is the number of nodes of the message. The nodes themselves may be gone by now, so what the journal knows is asked.
func (e *entry) nodeCount() int {
	if nodes := e.known().nodes; nodes != nil {
		return int(slices.Max(nodes)) + 1
	}
	return 1
}

// Copies. A message is copied into the active segment for one of two reasons: its segment is nearly finished and can be deleted
// without it, or its record is lost with a broken segment. Until the copy is durable the message stands at both places and
// every outcome is marked at both, because recovery may find either.

// copyInto writes e once more, into b. unheard says that the MTA may not have heard of the message.
func (e *entry) copyInto(b *batch, unheard bool) {
	old, r := e.at(), e.special()
	t := takeOf(e.msg, r.nodes, b.rcpts)
	t.Copied, t.Unheard, t.Again = true, unheard, r.redo
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
	e.leave()
	r.from = old
	old.seg.moved++
	e.stand(p, true)
	b.copies = append(b.copies, e)
}

// confirmCopy lets the copy, which is durable, take the place of what it was made from.
func (e *entry) confirmCopy() {
	old := e.rare.from
	e.rare.from, e.rare.redo = place{}, false
	if e.rare.nodes == nil && !e.rare.refused {
		e.rare = nil
	}
	old.seg.moved--
	old.markAll(e.msg.RcptCount())
}

// undoCopy puts e back where it stood, because its copy was not written. It reports whether the message has no record there
// either and must be written again.
func (e *entry) undoCopy() bool {
	old := e.rare.from
	e.rare.from = place{}
	old.seg.moved--
	e.at().markAll(e.msg.RcptCount())
	if !e.gone {
		e.leave()
		old.seg.lives.back()
	}
	e.seg, e.base = old.seg, old.base
	return e.rare.redo && !e.gone
}
