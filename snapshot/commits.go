package snapshot

import "errors"

// What the writer goroutine does to the ledger. Each method takes the mutex for one step; the I/O happens between them.

// errMoved tells whoever waits for a commit that its marks have gone into another one: begin again.
var errMoved = errors.New("the journal goes on in another segment")

// activate makes next, which is durable, the active segment. The one before ends at limit.
func (l *ledger) activate(next *segment, limit uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active.bodies, l.active.limit, l.active.sure = nil, limit, limit
	l.segs[next.number], l.active = next, next
}

// answer tells the doors of b that their messages are taken. From here on the messages are acknowledged: a failure may delay
// their next record, and must never drop them.
func (l *ledger) answer(b *batch) {
	l.mu.Lock()
	rcpts := 0
	takes := 0
	for _, e := range b.takes {
		if !e.refused {
			e.acked = true
			takes++
			rcpts += len(e.msg.Rcpts)
		}
	}
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
	var marks []byte
	for _, b := range append(lost, l.next) {
		marks = append(marks, b.marks...)
		l.undo(b, err)
	}
	l.next = newBatch(l.active, nil, l.bell)
	l.next.marks = marks
	return first
}

// undo takes back what a commit that is lost has done to the state in RAM. mu is held. Its segment still believes that it
// holds the commit's bodies, which does no harm: after a failure the next message goes into a new segment.
func (l *ledger) undo(b *batch, err error) {
	for _, e := range b.takes {
		switch {
		case e.gone:
		case e.acked:
			l.redo = append(l.redo, e)
		default:
			// Its positions are never used again.
			e.at.markAll(len(e.msg.Rcpts))
			delete(l.doubts.unheard, e.msg.ID)
			l.erase(e)
		}
	}
	for _, e := range b.copies {
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
		n += e.msg.Content.Size() + int64(len(e.msg.Rcpts))*1024
	}
	return n
}

// resume writes into next, which is active now, what stayed in RAM, and takes messages again if next has room for them. It
// returns how many messages it has written again. Whoever waits for a mark of the old commit is told to begin again, and not that all is well: the new
// commit is not durable yet.
func (l *ledger) resume(next *segment, takes bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	marks, again := l.next.marks, l.redo
	l.next.conclude(errMoved)
	l.next = newBatch(next, nil, l.bell)
	l.next.marks = marks
	l.redo = nil
	if takes {
		l.blocked = nil
	}
	l.unwritable.Store(nil)
	for _, e := range again {
		if !e.gone {
			e.redo = true
			_, unheard := l.doubts.unheard[e.msg.ID]
			e.copyInto(l.next, unheard)
		}
	}
	l.bell.ringLater()
	return len(again)
}
