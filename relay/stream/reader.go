package stream

import (
	"bufio"
	"errors"
	"io"
	"syscall"
	"time"
)

// reader follows the stream from a position: out of the files while the ring has not what comes next any more, else out of the
// ring. What neither has is told by a record of type gap. Only one goroutine may use it.
type reader struct {
	stream *Stream
	at     cursor // its totals are not kept
	past   past
	missed uint64 // records that are known to be lost to it
}

// fill puts the next records into b, none if there are none yet.
func (r *reader) fill(b *batch) {
	b.reset()
	first, _ := r.stream.ring.reach()
	if r.at.next >= first {
		r.past.close()
		r.stream.ring.read(&r.at, b)
		return
	}
	if f := r.stream.library(); f != nil {
		switch err := r.past.fill(f, &r.at.next, first, b, r.lose); {
		case err == nil:
			return
		case isShort(err): // the files have what comes next
			time.Sleep(retryTime) // nobody but the reader waits
			return
		}
	}
	r.loseTo(b)
}

// isShort reports that an error says nothing of the file: the machine has no descriptor or memory left.
func isShort(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// loseTo goes on at the oldest record in memory and tells what is lost.
func (r *reader) loseTo(b *batch) {
	if from := r.at.next; r.stream.ring.catchUp(&r.at) > 0 {
		r.lose(from, r.at.next, b)
	}
}

// lose tells that the records from one position on and before another are lost.
func (r *reader) lose(from, to uint64, b *batch) {
	known := to - min(to, max(from, r.stream.base))
	switch {
	case from >= r.stream.base:
	case !r.past.covered:
		known = 0 // how many there were before this start nobody knows
	case known == 0:
		return // a stop and a start were between them, and no record
	}
	r.missed += known
	b.data = appendGap(b.data, time.Now(), from, to-1, known)
	b.records = append(b.records, record{to - 1, Gap, len(b.data)})
}

// library is the file that has all records, nil if none has.
func (s *Stream) library() *file {
	for _, f := range s.files {
		if f.counts {
			return f
		}
	}
	return nil
}

// past reads records out of files.
type past struct {
	covered bool // a file goes back to where the reading began, or nothing before it is asked for

	in     io.ReadCloser
	lines  *bufio.Reader
	volume uint64 // the first position of the file that is open, or was the last
	read   bool   // one was opened
}

// fill puts records from *next on and before until into b, and moves *next. lose is called with what no file has any more. The error says
// why there are no records: errEnd when the files have no more.
func (p *past) fill(f *file, next *uint64, until uint64, b *batch, lose func(from, to uint64, b *batch)) error {
	for flushed := false; ; {
		if p.in == nil {
			if err := p.openNext(f, *next, until); err != nil {
				if flushed || isShort(err) || f.flush() != nil {
					return err
				}
				flushed, p.read = true, false // what the file had not got yet
				continue
			}
			if 0 < *next && *next < p.volume { // volumes are removed, and a rotation may empty a file
				lose(*next, p.volume, b)
				*next = p.volume
			}
		}
		if p.copy(next, until, b); len(b.records) > 0 {
			return nil
		}
		p.close()
	}
}

// errEnd is returned when no file is left to be read.
var errEnd = errors.New("no file has more")

// openNext opens the file that has the position next, or the one behind the file that was read to its end.
func (p *past) openNext(f *file, next, until uint64) error {
	all, err := volumes(f.cfg.Path)
	if isShort(err) { // of a directory that cannot be listed, the file itself may be read
		return err
	}
	f.mu.Lock()
	if f.plain.Load() && f.first > 0 {
		all = append(all, volume{path: f.cfg.Path, first: f.first})
	}
	f.mu.Unlock()
	best := -1
	for i, v := range all {
		switch {
		case v.first >= until, p.read && v.first <= p.volume:
		case v.first <= next, best < 0:
			best = i
		}
	}
	if best < 0 {
		return errEnd
	}
	v := all[best]
	in, err := v.open()
	if err != nil {
		return err
	}
	p.covered = p.covered || v.first <= next
	p.in, p.lines, p.volume, p.read = in, bufio.NewReaderSize(in, 2*maxRecord), v.first, true
	return nil
}

// copy reads a batch out of the file that is open, and none when that has ended. The totals in the file are its own.
func (p *past) copy(next *uint64, until uint64, b *batch) {
	for len(b.data) < maxBatch {
		text, err := p.lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if len(text) > 0 && len(b.records) > 0 { // it is being written: the file is opened again, to read it from its beginning
				p.close()
				p.read = false
			}
			return
		}
		position, k, ok := parse(text)
		if err != nil || !ok || k == Counts || position < *next {
			continue
		}
		if position >= until {
			return
		}
		b.data = append(b.data, text...)
		b.records = append(b.records, record{position, k, len(b.data)})
		*next = position + 1
	}
}

func (p *past) close() {
	if p.in != nil {
		_ = p.in.Close() // it was only read
	}
	p.in = nil
}
