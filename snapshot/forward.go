package snapshot

import (
	"github.com/millrace/millrace/snapshot/format"
)

const (
	// forwardShare: a segment of which so small a part is not done is copied forward.
	forwardShare = 8
	// forwardChunk is how many messages are copied between two commits, forwardBytes how many bytes after one snapshot:
	// takes and outcomes share the disk with them.
	forwardChunk = 256
	forwardBytes = 8 << 20
)

// copyEntry writes e once more, into the current commit. Until that is durable e stands at both places and every
// outcome is marked at both. The mutex is held.
func (a *Agent) copyEntry(e *entry) {
	b, old := a.cur, e.at
	t := takeOf(e.msg, e.nodeOf)
	t.Copied, t.Origin = true, format.Origin{Segment: old.seg.number, Base: old.base}
	t.Body = b.body(e.msg)
	p := b.seg.claim(len(e.msg.Rcpts))
	t.Base = p.base
	for i := range e.msg.Rcpts {
		if old.isDone(i) {
			p.seg.mark(p.base + uint32(i))
			t.Done = append(t.Done, i)
		}
	}
	b.take(t)
	if _, ok := a.unheard[e.msg.ID]; ok { // the record that said so may be the one that is lost
		b.marks = format.AppendUnheard(b.marks, uint64(e.msg.ID))
	}
	e.leave()
	e.from = &old
	old.seg.moved++
	e.stand(p)
	b.copies = append(b.copies, e)
}

// settleCopies lets the copies in b take the place of what they were made from.
func (a *Agent) settleCopies(b *batch) {
	if len(b.copies) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range b.copies {
		old := e.from
		e.from, e.redo = nil, false
		old.seg.moved--
		for i := range e.msg.Rcpts {
			old.seg.mark(old.base + uint32(i))
		}
	}
}

// uncopy puts e back where it stood, because its copy was not written. The mutex is held.
func (a *Agent) uncopy(e *entry) {
	old := e.from
	e.from = nil
	old.seg.moved--
	for i := range e.msg.Rcpts {
		e.at.seg.mark(e.at.base + uint32(i))
	}
	if e.gone {
		return
	}
	e.leave()
	e.stand(*old)
	if e.redo {
		a.redo = append(a.redo, e)
	}
}

// forward copies what is left of nearly finished segments into the current one, so that they can be deleted.
func (a *Agent) forward() error {
	for budget := int64(forwardBytes); budget > 0; {
		n := a.forwardSome()
		if n == 0 {
			return nil
		}
		budget -= n
		if err := a.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// forwardSome copies some messages of the oldest nearly finished segment and returns their bytes, 0 when there is none.
func (a *Agent) forwardSome() (bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.nearlyFinished()
	if s == nil || a.blocked != nil {
		return 0
	}
	e := s.live
	for n := 0; e != nil && n < forwardChunk && len(a.cur.buf) < a.cfg.Journal.CommitBytes; n++ {
		next := e.nxt
		before := len(a.cur.buf)
		a.copyEntry(e)
		bytes += int64(len(a.cur.buf) - before)
		e = next
	}
	return bytes
}

// nearlyFinished finds the oldest segment worth copying forward. The mutex is held.
func (a *Agent) nearlyFinished() *segment {
	var oldest *segment
	for _, s := range a.segs {
		if s == a.seg || s == a.cur.seg || s.live == nil || s.moved > 0 || s.open*forwardShare > int(s.total) {
			continue
		}
		if oldest == nil || s.number < oldest.number {
			oldest = s
		}
	}
	return oldest
}
