package snapshot

import (
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// Mark 3 of a visit that is expected is written before the visit begins, so that nobody waits for it then. If the visit does not
// begin within the commit interval, something has come between, and the mark is taken back. A crash before that names recipients
// to whom nothing was sent.

// expected is nodes whose marks 3 are in one commit, and since when these are durable. Some of their visits have begun.
type expected struct {
	nodes []format.Node
	since time.Time
}

// expectVisit writes mark 3 of k into b, unless there is one. mu is held.
func (l *ledger) expectVisit(b *batch, k format.Node) {
	if l.doubts.expect(k, b) {
		b.marks = format.AppendBegun(b.marks, k)
		b.early = append(b.early, k)
	}
}

// expect writes mark 3 of nodes that wait and are visited soon, and calls the writer: they will not wait for the mark then. While
// the disk is full nobody is expected, because marks that may be taken back would use up the room for outcomes.
func (l *ledger) expect(nodes []*relay.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg.Ack == AckMemory || l.blocked != nil || l.unwritable.Load() != nil {
		return
	}
	for _, n := range nodes {
		if l.entries.of(n.Message.ID) != nil {
			l.expectVisit(l.next, nodeOf(n))
		}
	}
	l.bell.ring()
}

// await notes that the visits which the answered commit b expects can begin now. mu is held.
func (l *ledger) await(b *batch, now time.Time) {
	if len(b.early) > 0 {
		l.early = append(l.early, expected{b.early, now})
		l.bell.ringLater() // for lapse
	}
}

// lapse takes the marks back of visits that have not begun for a while.
func (l *ledger) lapse(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.early) > 0 && now.Sub(l.early[0].since) >= l.cfg.Journal.CommitInterval {
		for _, k := range l.early[0].nodes {
			if !l.doubts.lapse(k) {
				continue
			}
			if e := l.entries.of(relay.ID(k.ID)); e != nil {
				l.appendWait(k, e.msg.Class())
			}
		}
		l.early[0].nodes = nil
		l.early = l.early[1:]
	}
	if len(l.early) > 0 {
		l.bell.ringAgain() // the call under way may have come too early for them
	}
}
