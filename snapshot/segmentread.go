package snapshot

import (
	"fmt"

	"github.com/millrace/millrace/snapshot/format"
)

// How a segment is read from the disk, and what is done with it behind its last record.

// orphan is a message without its shared record, and where its own record stands.
type orphan struct {
	at   int64
	what string
}

// load reads a segment for a scan. It returns nil and no error when the segment cannot be read and Salvage goes on without
// it. The buffer is reused: what outlives the segment is copied.
func (r *recovery) load(s *found) (*format.Scan, error) {
	if s.bad != nil {
		return nil, nil
	}
	sc, err := s.scan(r.fs, &r.buf)
	if err != nil {
		if !r.salvage {
			return nil, fmt.Errorf("%s: %w", segmentName(s.head.Number), err)
		}
		s.bad = err
		what, err := r.setAside(s)
		r.report.Missing, r.report.Notes = append(r.report.Missing, what), append(r.report.Notes, knownInPart)
		return nil, err
	}
	return sc, nil
}

// setAside gives a segment that cannot be read another name and forgets it.
func (r *recovery) setAside(s *found) (string, error) {
	what, err := s.setAside(r.fs)
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	delete(r.segs, s.head.Number)
	delete(r.book.segs, s.head.Number)
	return what, err
}

// endSegment ends the reading of a segment: it keeps aside what is damaged, cuts a torn tail off, and makes durable what was
// read. The last matters after a kill: what was only in the page cache was given out, and a power cut must not take it back.
func (r *recovery) endSegment(s *found, sc *format.Scan) error {
	if sc.Last.At.After(r.report.Until) {
		r.report.Until = sc.Last.At
	}
	for _, g := range sc.Damage {
		r.report.Damaged = append(r.report.Damaged, g.Error())
	}
	r.tellLost(sc)
	for _, g := range sc.Torn {
		r.report.Torn += g.To - g.From
	}
	if len(sc.Gaps) > 0 {
		r.report.Clean = false
		r.quarantine(s.head.Number, sc)
	}
	if s.end > 0 {
		return nil
	}
	sure := sc.End
	if len(sc.Torn) > 0 {
		sure = min(sure, sc.Torn[0].From)
	}
	r.book.mu.Lock()
	seg := r.segs[s.head.Number]
	seg.limit, seg.sure = uint64(sc.End), uint64(sure)
	r.book.mu.Unlock()
	return r.cut(s, sc)
}

// tellLost reports the messages without a shared record. One in a commit that ended is lost. In a commit that may never have
// ended, nobody was answered for it, and a note is enough.
func (r *recovery) tellLost(sc *format.Scan) {
	for _, o := range r.lost {
		if o.at < sc.Durable {
			r.report.Lost = append(r.report.Lost, o.what)
		} else {
			r.report.Notes = append(r.report.Notes, o.what+"; its commit is not known to have ended")
		}
	}
	r.lost = nil
}

// cut takes off what follows the last frame of a segment that no successor has ended: reserved space, or a torn tail. If the
// tail stayed, the next start would find and report it again.
func (r *recovery) cut(s *found, sc *format.Scan) error {
	f, err := r.fs.Open(segmentName(s.head.Number))
	if err != nil {
		return err
	}
	defer f.Close()
	if int64(len(sc.Data)) > sc.End {
		if err := f.Truncate(sc.End); err != nil {
			return err
		}
	}
	return f.Sync()
}
