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

// copySome copies some messages of the oldest nearly finished segment forward and returns their bytes. With
// no bytes, more says that it has only looked for messages so far.
func (l *ledger) copySome() (bytes int64, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.nearlyFinished()
	if s == nil || l.blocked != nil {
		return 0, false
	}
	n, before := 0, len(l.next.buf)
	more = l.entries.walk(s, func(e *entry) bool {
		if n++; n > forwardChunk || len(l.next.buf) >= l.cfg.Journal.CommitBytes {
			return false
		}
		e.copyInto(l.next, l.doubts.isUnheard(e.msg.ID))
		return true
	})
	return int64(len(l.next.buf) - before), more
}

// nearlyFinished finds the oldest segment worth copying forward. mu is held.
func (l *ledger) nearlyFinished() *segment {
	var oldest *segment
	for _, s := range l.segs {
		if s == l.active || s == l.next.seg || s.lives.n == 0 || s.moved > 0 || s.undone*forwardShare > int(s.total) {
			continue
		}
		if oldest == nil || s.number < oldest.number {
			oldest = s
		}
	}
	return oldest
}
