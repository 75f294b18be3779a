package snapshot

import (
	"errors"
	"time"

	"github.com/millrace/millrace/snapshot/format"
)

// What the writer goroutine does to the ledger. Each method takes the mutex for one step; the I/O happens between them.

// errMoved tells whoever waits for a commit that its marks have gone into another one: begin again.
var errMoved = errors.New("the journal goes on in another segment")

// activate makes next, which is durable, the active segment. The one before ends at limit.
func (l *ledger) activate(next *segment, limit uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active.shared, l.active.limit, l.active.sure = nil, limit, limit
	l.segs[next.number], l.active = next, next
	l.ids.allow(&next.head)
}

// answer tells the doors of b that their messages are taken. From here on the messages are acknowledged: a failure may delay
// their next record, and must never drop them.
func (l *ledger) answer(b *batch) {
	l.mu.Lock()
	rcpts := 0
	takes := 0
	for _, e := range b.takes {
		if !e.known().refused {
			e.acked = true
			takes++
			rcpts += e.msg.RcptCount()
		}
	}
	l.totals[format.TotalMessages] += uint64(takes)
	l.totals[format.TotalRecipients] += uint64(rcpts)
	l.await(b, time.Now())
	l.mu.Unlock()
	l.count.takes.Add(int64(takes))
	l.count.rcpts.Add(int64(rcpts))
	b.conclude(nil)
}

// collapse undoes the commits in lost, in their order, and the one that was filling up behind them: a message not yet
// acknowledged is dropped and its door gets err; acknowledged messages and all marks stay in RAM for the next segment. failed
// is the commit of lost that could not be written, or nil. collapse reports whether the journal was writable until now.
func (l *ledger) collapse(lost []*batch, failed *batch, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.blocked == nil
	l.blocked = err
	l.noteUnwritable(failed, err)
	if failed != nil && failed.seg == l.active {
		l.active.end = failed.start
	}
	close(l.next.sealed) // takes that wait for room are refused
	l.counts.all = true
	next := newBatch(l.active, nil, l.bell)
	for _, b := range append(lost, l.next) {
		next.inherit(b)
		l.undo(b, next, err)
	}
	l.next = next
	return first
}

// undo takes back what a commit that is lost has done to the state in RAM; next has inherited its marks. mu is held. Its segment still believes that it
// holds the commit's shared records, which does no harm: after a failure the next message goes into a new segment.
func (l *ledger) undo(b, next *batch, err error) {
	for _, e := range b.takes {
		switch {
		case e.gone:
			next.owed.Take(e.msg.RcptCount()) // next has its marks: also when it was refused, which counts it out again
		case e.acked:
			l.redo = append(l.redo, e)
		default:
			// Its positions are never used again.
			e.at().markAll(e.msg.RcptCount())
			l.counts.taken(e.msg, -1)
			l.erase(e)
			delete(l.doubts.unheard, e.msg.ID)
		}
	}
	for _, e := range b.copies {
		if e.gone && e.known().redo {
			next.owed.Take(e.msg.RcptCount())
		}
		if e.undoCopy() {
			l.redo = append(l.redo, e)
		}
	}
	b.conclude(err)
}

// gathered is about how many bytes stay in RAM for the next segment.
func (l *ledger) gathered() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(len(l.next.marks))
	for _, e := range l.redo {
		n += e.msg.Content.Size() + int64(e.msg.RcptCount())*1024
	}
	return n
}

// resume writes into next, which is active now, what stayed in RAM, and takes messages again if next has room for them. It
// returns how many messages it has written again. Whoever waits for a mark of the old commit is told to begin again, and not that all is well: the new
// commit is not durable yet.
func (l *ledger) resume(next *segment, takes bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.next
	l.next = newBatch(next, nil, l.bell)
	l.next.inherit(old)
	l.undo(old, l.next, errMoved) // what an earlier resume has put there goes into the new one
	l.counts.all = true
	again := l.redo
	l.redo = nil
	if takes {
		l.blocked = nil
	}
	l.unwritable.Store(nil)
	for _, e := range again {
		if e.gone {
			l.next.owed.Take(e.msg.RcptCount()) // its marks are there
			continue
		}
		e.special().redo = true
		e.copyInto(l.next, l.doubts.isUnheard(e.msg.ID))
	}
	l.bell.ringLater()
	return len(again)
}
