package snapshot

const (
	// forwardShare: a segment is copied forward when no more than this fraction of its recipients is not done. Copying costs
	// writing once more what is left; waiting costs the disk space of what is done.
	forwardShare = 8
	// forwardChunk is how many messages are copied between two commits: takes and outcomes share the disk with them.
	forwardChunk = 256
)

// confirmCopies lets the copies in b, which is durable, take the place of what they were made from.
func (l *ledger) confirmCopies(b *batch) {
	if len(b.copies) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range b.copies {
		e.confirmCopy()
	}
}

// copySome copies some messages of the oldest nearly finished segment forward and returns their bytes, 0 when there is no
// such segment.
func (l *ledger) copySome() (bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.nearlyFinished()
	if s == nil || l.blocked != nil {
		return 0
	}
	e := s.live
	for n := 0; e != nil && n < forwardChunk && len(l.next.buf) < l.cfg.Journal.CommitBytes; n++ {
		next := e.nxt // copyInto moves e to another list
		before := len(l.next.buf)
		e.copyInto(l.next, l.doubts.isUnheard(e.msg.ID))
		bytes += int64(len(l.next.buf) - before)
		e = next
	}
	return bytes
}

// nearlyFinished finds the oldest segment worth copying forward. mu is held.
func (l *ledger) nearlyFinished() *segment {
	var oldest *segment
	for _, s := range l.segs {
		if s == l.active || s == l.next.seg || s.live == nil || s.moved > 0 || s.undone*forwardShare > int(s.total) {
			continue
		}
		if oldest == nil || s.number < oldest.number {
			oldest = s
		}
	}
	return oldest
}
