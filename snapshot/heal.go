package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// fail ends what cannot be written and tries to go on in a new segment.
func (a *Agent) fail(b *batch, err error) error {
	err = fmt.Errorf("journal: %w", a.seg.named(err))
	a.collapse(b, err)
	a.heal()
	return err
}

// named makes an error that names s by the name it was made under name the file as it is called now.
func (s *segment) named(err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) || !strings.HasSuffix(p.Path, numbered(journalDir, s.number, temporaryExt)) {
		return err
	}
	return &fs.PathError{Op: p.Op, Path: segmentName(s.number), Err: p.Err}
}

// collapse takes back b, what was gathered behind it in the hope that it would be written, and, in a broken segment, all
// that was not synced. Messages nobody has answered for are forgotten and their doors told; the others and all marks
// stay in RAM for the next segment.
func (a *Agent) collapse(b *batch, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.blocked == nil {
		a.log.Error("journal cannot be written; no mail is taken until it can", "file", segmentName(a.seg.number), "error", err)
	}
	a.blocked = err
	a.hush(b, err)
	var lost []*batch
	if a.seg.broken {
		lost = a.writer.clear()
	}
	if b != nil {
		lost = append(lost, b)
		if b.seg == a.seg {
			a.seg.end = b.start
		}
	}
	close(a.cur.sealed)
	lost = append(lost, a.cur)
	var marks []byte
	for _, x := range lost {
		marks = append(marks, x.marks...)
		a.abandon(x, err)
	}
	a.cur = newBatch(a.seg, nil, a.wake)
	a.cur.marks = marks
}

// hush notes that not even outcomes can be recorded: the segment is broken, or has no room left for b, which holds some.
// Deliveries stop for that. The mutex is held.
func (a *Agent) hush(b *batch, err error) {
	if errors.Is(err, errGone) {
		a.mute.Store(nil) // see Unwritable
		return
	}
	full := b != nil && b.seg == a.seg && len(b.marks) > 0
	if (a.seg.broken || full) && a.cfg.Ack != AckMemory {
		a.mute.Store(&err)
	}
}

// abandon undoes what a batch that was not written has done to the state in RAM. Its segment still believes to hold its
// bodies, which does no harm: after a failure the next message goes into a new segment. The mutex is held.
func (a *Agent) abandon(b *batch, err error) {
	for _, e := range b.takes {
		switch {
		case e.gone:
		case e.acked:
			a.redo = append(a.redo, e)
		default:
			a.forget(e)
		}
	}
	for _, e := range b.copies {
		a.uncopy(e)
	}
	b.finish(err)
}

// forget drops a message that was not taken. Its positions are never used again. The mutex is held.
func (a *Agent) forget(e *entry) {
	for i := range e.msg.Rcpts {
		e.at.seg.mark(e.at.base + uint32(i))
	}
	delete(a.unheard, e.msg.ID)
	a.drop(e)
}

// heal tries to go on in a new segment. A broken segment is left at once; a full disk is tried again at each pulse.
func (a *Agent) heal() {
	a.mu.Lock()
	next := a.newSegment()
	stuck := a.blocked == nil || errors.Is(a.blocked, errGone)
	a.mu.Unlock()
	if stuck {
		return
	}
	if !a.seg.broken {
		// What is written and not synced lies in the segment that is left. It may be lost with it, and is then among
		// what the next try writes again.
		if err := a.sync(); err != nil {
			a.collapse(nil, fmt.Errorf("journal: %w", err))
		}
	}
	if err := a.advance(next); err == nil {
		a.resume(next)
	}
}

// resume writes what stayed in RAM into the new segment and lets messages in again.
func (a *Agent) resume(next *segment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	marks, again := a.cur.marks, a.redo
	a.cur.finish(errMoved)
	a.cur = newBatch(next, nil, a.wake)
	a.cur.marks = marks
	a.redo, a.blocked = nil, nil
	a.mute.Store(nil)
	for _, e := range again {
		if !e.gone {
			e.redo = true
			a.copyEntry(e)
		}
	}
	a.arm()
	a.log.Info("journal can be written again", "file", segmentName(next.number), "messages_again", len(again))
}
