package snapshot

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// maxWaitMarks bounds the marks 2 that gather for a slow disk. Beyond it what nodes have learned stays in RAM, for the next
// snapshot: losing it costs visits too early, and no mail.
const maxWaitMarks = 8 << 20

// errGone is returned when the journal was deleted under the running daemon. Only a new start can help.
var errGone = errors.New("the journal's files were deleted under the running daemon")

// ledger is the journal's state in RAM: where each message is recorded, who is done, what is in doubt, and the next commit.
// One mutex guards all of it, because taking a message changes all of it in one moment: its positions, its frame in the
// commit, and its entry must agree. No I/O, no logging and no blocking channel operation happens under the mutex.
//
// Doors and handlers call it from their own goroutines (this file), the writer (commits.go), the keeper (plan.go,
// copies.go) and the recovery from theirs.
type ledger struct {
	draft
	count   *counts
	waiting atomic.Int32 // takes that wait for the writer
	waits   waits        // has locks of its own, which come after mu

	// mu of the draft guards all that follows.
	segs    map[uint64]*segment
	entries roll
	doubts  doubts
	early   []expected // the oldest first
	redo    []*entry   // acknowledged, but their record is lost: they go into the next segment
	totals  format.Totals
	closed  bool
}

// counts are the counters behind Status.
type counts struct {
	takes, rcpts, dones, waits, bytes, commits, syncs, snapshots atomic.Int64
}

// news is what a snapshot may have to tell: equal news are no news. Whatever else the journal learns is written to it, and
// counts among the bytes.
type news struct{ takes, dones, waits, bytes int64 }

func (c *counts) news() news {
	return news{c.takes.Load(), c.dones.Load(), c.waits.Load(), c.bytes.Load()}
}

// record puts m into the commit in the making and returns that. When the commit is full, it returns it with false, and m must
// wait for the next one. The message has its entry before its record is durable; if the commit fails, collapse drops both.
func (l *ledger) record(m *relay.Message) (*batch, bool, error) {
	b, ok, enough, err := l.enter(m)
	if enough {
		l.bell.alarm.ring()
	}
	return b, ok, err
}

// enter is record without the call that may end the writer's wait for others; enough says that it must.
func (l *ledger) enter(m *relay.Message) (b *batch, ok, enough bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, false, false, ErrClosed
	case l.blocked != nil:
		return nil, false, false, l.blocked
	case l.entries.of(m.ID) != nil:
		return nil, false, false, fmt.Errorf("id %s is in the journal already", m.ID)
	}
	b = l.next
	if l.cfg.Ack != AckMemory || len(b.buf) >= l.cfg.Journal.CommitBytes {
		if err := l.overdue(); err != nil {
			return nil, false, false, err
		}
	}
	if len(b.buf) >= l.cfg.Journal.CommitBytes {
		l.bell.ring()
		return b, false, false, nil
	}
	l.writeTake(b, m)
	l.expectVisits(b, m)
	if l.cfg.Ack == AckMemory {
		l.bell.ringLater()
	} else {
		enough = l.bell.ask(crowd{takes: 1})
	}
	if len(b.buf) >= l.cfg.Journal.gatherBytes() {
		enough = l.bell.gather.fill() || enough
	}
	return b, true, enough, nil
}

// writeTake writes m into b and gives it an entry. mu is held.
func (l *ledger) writeTake(b *batch, m *relay.Message) {
	nodes := nodesOf(m)
	t := takeOf(m, nodes, b.rcpts)
	e := newEntry(m, nodes)
	e.acked = l.cfg.Ack == AckMemory
	e.stand(b.appendTake(m, &t), false)
	l.entries.enter(e)
	l.doubts.unheard[m.ID] = e
	b.takes = append(b.takes, e)
	l.counts.taken(m, 1)
}

// expectVisits writes mark 3 of the nodes whose visit will begin as soon as their message is taken: it is durable with the message
// then, and costs no sync of its own. mu is held.
func (l *ledger) expectVisits(b *batch, m *relay.Message) {
	if l.cfg.Ack == AckMemory {
		return
	}
	for _, n := range m.Nodes {
		if n.Near {
			l.expectVisit(b, nodeOf(n))
		}
	}
}

// recordDone records that a recipient is done, and why. A mark is written once: a second event about the recipient changes nothing.
func (l *ledger) recordDone(id relay.ID, rcpt int, why format.Why) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entryOf(id, rcpt); e != nil {
		l.markDone(e, rcpt, why)
		l.bell.ringLater()
	}
}

// recordSettled is recordDone for a recipient whose outcome is decided, and counts it. With WhyUnknown he is not done yet.
func (l *ledger) recordSettled(ev *relay.Event, why format.Why) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entryOf(ev.Message.ID, ev.Rcpt)
	if e == nil {
		return
	}
	if why == format.WhyUnknown {
		l.counts.count(ev)
		return
	}
	if l.markDone(e, ev.Rcpt, why) {
		l.counts.count(ev)
	}
	l.bell.ringLater()
}

// entryOf is the entry of a message with such a recipient, or nil. mu is held.
func (l *ledger) entryOf(id relay.ID, rcpt int) *entry {
	if e := l.entries.of(id); e != nil && rcpt >= 0 && rcpt < e.msg.RcptCount() {
		return e
	}
	return nil
}

// markDone sets recipient i of e done, and reports whether that is news. mu is held.
func (l *ledger) markDone(e *entry, i int, why format.Why) bool {
	marks, news := e.markDone(i, why, l.next.marks)
	if l.next.marks = marks; news {
		l.count.dones.Add(1)
		l.next.decided.Done(why, 1)
		l.totals.Done(why, 1)
	}
	return news
}

// recordGone records that all recipients of a message are done, and forgets the message. Most are done by now; a message that
// an operator removes has some who are not.
func (l *ledger) recordGone(id relay.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries.of(id)
	if e == nil {
		return
	}
	for i := range e.msg.Rcpts {
		l.markDone(e, i, format.WhyRemoved)
	}
	l.bell.ringLater()
	l.erase(e)
}

// takeBack takes a message back whose door has lost its patience: the MTA keeps it. Its record may become durable all the
// same, so all of its recipients are marked done, and the MTA counts as having heard, which leaves nothing to name. A crash
// before these marks are durable brings it back as a message the MTA may offer again. takeBack reports false when the message
// is taken, or its commit has failed: the door is told in a moment.
func (l *ledger) takeBack(id relay.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries.of(id)
	if e == nil || e.acked {
		return false
	}
	n := e.msg.RcptCount()
	e.at().markAll(n)
	l.next.marks = format.AppendDoneAll(l.next.marks, e.seg.number, e.base, format.WhyRefused, n)
	l.next.decided.Done(format.WhyRefused, n)
	l.count.dones.Add(int64(n))
	l.counts.taken(e.msg, -1)
	l.markHeard(l.doubts.hear(id))
	l.bell.ringLater()
	l.erase(e)
	e.special().refused = true
	return true
}

// erase drops e, whose recipients are all marked done. mu is held.
func (l *ledger) erase(e *entry) {
	e.gone = true
	e.leave()
	l.entries.drop(e.msg.ID)
	l.doubts.dropMessage(e)
	if e.waits {
		l.waits.dropMessage(e.msg.ID, e.nodeCount())
	}
}

// recordWait records that a node waits for its next visit. On a disk so slow that marks
// gather without bound, what was learned is left to the next snapshot, and only the doubt is recorded.
func (l *ledger) recordWait(ev *relay.Event) {
	n := ev.Node
	k, w := nodeOf(n), waitOf(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries.of(n.Message.ID)
	if e == nil {
		return
	}
	e.waits = true
	l.counts.count(ev)
	l.waits.learn(k, w)
	l.count.waits.Add(1)
	l.totals[format.TotalDeferred]++
	l.next.decided[format.TotalDeferred]++
	if len(l.next.marks) < maxWaitMarks {
		l.next.marks = format.AppendDeferred(l.next.marks, k, w)
		l.bell.ringLater()
	}
	if l.doubts.outlive(k, ev.Relay != noRelay) { // mark 8 has ended mark 3: it is written again
		l.next.marks = format.AppendBegun(l.next.marks, k)
	}
}

// recordBegun records that a visit of n begins, and returns the commit that holds the mark. It returns nil when there is nothing
// to wait for: the mark is on the disk already, the message is not here, ack = "memory" promises nothing, or the state directory was
// deleted.
func (l *ledger) recordBegun(n *relay.Node) relay.Record {
	k := nodeOf(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	why := l.unwritable.Load()
	if why == nil {
		if b := l.doubts.redeem(k); b != nil { // asked first: then the message is here
			return b.record()
		}
	}
	if l.entries.of(n.Message.ID) == nil {
		return nil
	}
	l.doubts.arise(k, why != nil)
	if why != nil {
		return newFailed(*why)
	}
	l.next.marks = format.AppendBegun(l.next.marks, k)
	l.bell.ringLater()
	if l.cfg.Ack == AckMemory || errors.Is(l.blocked, errGone) {
		return nil
	}
	return l.next
}

// loseReply keeps the doubt about n over the deferral that follows. It needs no mark: the one of recordBegun is in force.
func (l *ledger) loseReply(n *relay.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubts.loseReply(nodeOf(n))
}

// recordPutBack records that the visit of n never was: by it, the receiver has nothing.
func (l *ledger) recordPutBack(n *relay.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.withdraw(nodeOf(n), n.Class())
}

// withdraw takes mark 3 of a node back, by a mark 2 with what the node had learned. mu is held.
func (l *ledger) withdraw(k format.Node, class string) {
	if !l.doubts.withdraw(k) {
		return
	}
	l.appendWait(k, class)
	l.bell.ringLater()
}

// recordHeard records that the MTA has heard of a message, which may be gone by now: a fast receiver can answer before the door
// has sent its reply. Without the mark the next start would name the message's recipients for nothing.
func (l *ledger) recordHeard(id relay.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.doubts.hear(id); e != nil {
		l.markHeard(e)
		l.bell.ringLater()
	}
}

// markHeard writes mark 9 for e; nil: there is no news. mu is held.
func (l *ledger) markHeard(e *entry) {
	if e != nil {
		l.next.marks = e.appendHeard(l.next.marks)
	}
}

// hangUp notes that the MTA has not heard of a message. The journal says so already: mark 9 is missing.
func (l *ledger) hangUp(id relay.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubts.hangUp(id, l.entries.of(id))
}

// over reports whether stopTaking was called.
func (l *ledger) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// stopTaking refuses all takes from now on, and reports false when it was called before. No visit is under way at a clean
// stop, so a node whose visit began and was not decided is not in doubt: the visit came to nothing.
func (l *ledger) stopTaking() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.closed = true
	for k := range l.doubts.nodes {
		if e := l.entries.of(relay.ID(k.ID)); e != nil {
			l.withdraw(k, e.msg.Class())
		}
	}
	return true
}

// restore enters e, which stands at p as a copy or as it was taken, with what is left of it and open recipients. It reports false
// when the message is known already: a copy of it was restored, or it was taken meanwhile.
func (l *ledger) restore(e *entry, p place, copied bool, open int, s *relay.Saved) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries.of(e.msg.ID) != nil {
		return false
	}
	e.stand(p, copied)
	p.seg.undone += open
	p.seg.total = max(p.seg.total, p.base+uint32(e.msg.RcptCount()))
	l.entries.enter(e)
	if s.Unheard {
		l.doubts.unheard[e.msg.ID] = e
	}
	for _, n := range s.Nodes {
		if n.Begun {
			l.doubts.inherit(format.Node{ID: uint64(e.msg.ID), Index: uint32(n.Index)})
		}
	}
	return true
}

// restoreDone enters a message that is done and unheard: it is kept in mind until it is named.
func (l *ledger) restoreDone(m *relay.Message, p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubts.unheard[m.ID] = &entry{msg: m, seg: p.seg, base: p.base, acked: true, gone: true}
}

// toName lists the nodes in doubt of which the mail log was told, and reports whether it was told of messages handed on.
func (l *ledger) toName() (nodes []format.Node, handedOn bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubts.toName(), len(l.doubts.unnamed) > 0
}

// name notes that the mail log has named the messages that the recovery handed on, and the recipients of nodes. Each of them is
// named once: the marks say so to the next start.
func (l *ledger) name(nodes []format.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.doubts.name() {
		l.markHeard(e)
	}
	for _, k := range nodes {
		if e := l.entries.of(relay.ID(k.ID)); l.doubts.nameNode(k) && e != nil {
			l.appendWait(k, e.msg.Class())
		}
	}
	l.bell.ringLater()
}

// appendWait writes mark 2 of a node, which ends mark 3, with what the node had learned. mu is held.
func (l *ledger) appendWait(k format.Node, class string) {
	w, ok := l.waits.of(k)
	if !ok {
		w = format.Wait{Class: class}
	}
	l.next.marks = format.AppendWait(l.next.marks, k, w)
}
