package stream

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"sync"
	"time"
)

const (
	// lingerTime is how long records are kept when the last reader has left: one that comes back resumes without a gap.
	lingerTime = 10 * time.Minute
	// heartbeat is after what time a reader to whom nothing was sent is sent where the stream is.
	heartbeat = 15 * time.Second
)

// watch counts the readers of the console.
type watch struct {
	mu     sync.Mutex
	n      int
	linger *time.Timer // ends the keeping of records that nobody reads
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// enter counts a reader, and has records kept from now on.
func (s *Stream) enter() {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	s.awake.Store(true)
}

// leave counts a reader out.
func (s *Stream) leave() {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n > 0 || len(s.files)+len(s.webhooks) > 0 {
		return
	}
	if w.linger != nil {
		w.linger.Stop()
	}
	w.linger = time.AfterFunc(lingerTime, s.doze)
}

// doze ends the keeping of records, if still nobody reads.
func (s *Stream) doze() {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	if s.watch.n == 0 {
		s.awake.Store(false)
	}
}

// Events walks over the records that a query selects, each with its position: see ParseQuery. nil instead of a record says that
// there is nothing to send up to that position. The walk waits for new records, unless the query says not to, and ends with ctx. An
// error says why the query cannot be meant; whoever has none must walk. The records are valid until the next step.
func (s *Stream) Events(ctx context.Context, values url.Values) (iter.Seq2[uint64, []byte], error) {
	q, err := ParseQuery(values)
	if err != nil {
		return nil, err
	}
	first, next := s.ring.reach()
	if q.Resume && q.Since >= next {
		return nil, fmt.Errorf("since: %d is ahead of the newest record, %d", q.Since, next-1)
	}
	s.enter()
	r := &reader{stream: s}
	switch {
	case q.Resume && q.Since > 0:
		r.at.next = q.Since + 1
	case q.Resume && s.library() == nil:
		r.at.next = s.base
	case q.Resume:
		r.past.covered = true // all there is: what was removed before is not missed
	case q.Follow:
		r.at.next = next
	default:
		r.at.next = first
	}
	return func(yield func(uint64, []byte) bool) {
		defer s.leave()
		defer r.past.close()
		s.walk(ctx, &q, r, yield)
	}, nil
}

// walk is the walk of Events.
func (s *Stream) walk(ctx context.Context, q *Query, r *reader, yield func(uint64, []byte) bool) {
	_, end := s.ring.reach()
	var b batch
	for ctx.Err() == nil {
		r.fill(&b)
		for rec, text := range b.each {
			if q.matches(rec.kind, text) && !yield(rec.position, text) {
				return
			}
		}
		switch {
		case !q.Follow && r.at.next >= end:
			return
		case len(b.records) > 0:
			continue
		case r.at.next > 0 && !yield(r.at.next-1, nil):
			return
		}
		if !s.wait(ctx, &r.at, heartbeat) {
			return
		}
	}
}
