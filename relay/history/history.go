package history

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

const (
	flushInterval = time.Second        // longest time a note stays in memory; what a kill loses
	tendInterval  = 10 * time.Minute   // between two looks at what is over
	retryInterval = 10 * time.Second   // after an error of the disk; a shelf is read again then
	bufferSize    = 4 << 20            // bytes of notes; what does not fit is counted
	keptBuffer    = bufferSize + 1<<20 // a larger buffer is not kept
)

// Deps is what a History works with.
type Deps struct {
	Dir string       // where the segments are; it is made when the first is
	Log hclog.Logger // technical log
}

// History keeps what became of messages. It may be asked and told from any goroutine.
type History struct {
	deps  Deps
	disk  disk
	wake  chan struct{} // the buffer has a note, and had none
	hurry chan struct{} // Run must write now: the buffer is half full, or Flush has left it to Run
	off   atomic.Bool   // nothing is kept

	changed chan struct{}          // there is a next configuration
	next    atomic.Pointer[Config] // nil: none
	status  atomic.Pointer[Status] // as note left it

	missed  atomic.Int64 // events that are not kept, since start
	written atomic.Int64 // events written since start

	mu    sync.Mutex // held for the copying of an event, never while writing
	buf   []byte
	gap   int64 // events missing since the last that is in buf, or was written
	since int64 // when the first of them was, Unix milliseconds

	writeMu sync.Mutex // held while writing
	cfg     Config
	spare   []byte // the buffer that is not being filled
	shelf   *shelf // nil: not read yet; behind a fault it is only read
	fault   error  // the disk gave it
	retry   time.Time
	told    string // the fault that the log has, until something is written
}

// New returns a history that reads and writes nothing until Run, Flush or Find.
func New(cfg Config, deps Deps) *History {
	h := &History{deps: deps, cfg: cfg, disk: realDisk(), wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	h.status.Store(&Status{})
	h.off.Store(!cfg.on())
	return h
}

// Run writes what was told within a second, or at once when the buffer is half full or Flush leaves it to Run, and removes what is over,
// until ctx is done. It starts no goroutine. Close writes the rest.
func (h *History) Run(ctx context.Context) {
	h.tend(false) // a clock that is far ahead after a boot would have all removed, and is set right soon
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.tend(true)
			continue
		case <-h.changed:
			h.tend(true)
			continue
		case <-h.wake:
			if due == nil {
				due = time.After(flushInterval)
			}
			continue
		case <-due:
		case <-h.hurry:
		}
		due = nil
		_ = h.flushAll()
	}
}

// Event implements relay.Listener. It copies what the history needs.
func (h *History) Event(e *relay.Event) {
	if h.off.Load() || !wanted(e.Kind) {
		return
	}
	h.mu.Lock()
	defer h.unlock(len(h.buf))
	if len(h.buf) >= bufferSize {
		h.miss(1, e.Time.UnixMilli())
		return
	}
	h.buf = appendNotes(h.buf, e)
}

// unlock ends the copying of an event, and wakes Run if there is something new for it.
func (h *History) unlock(before int) {
	now := len(h.buf)
	h.mu.Unlock()
	if before == 0 && now > 0 {
		signal(h.wake)
	}
	if now > bufferSize/2 {
		signal(h.hurry)
	}
}

// signal never waits: one signal that nobody has seen yet is enough.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// miss counts events that are not kept, of which the first was at that time. mu is held.
func (h *History) miss(events, since int64) {
	if h.gap == 0 {
		h.since = since
	}
	h.gap += events
	h.missed.Add(events)
}

// Flush hands what was told so far to the system, with write(2). If a write is under way it returns nil at once: a caller in the path of
// mail does not wait for another's disk. For the same reason it leaves to Run what takes more than that one call: to end a segment is two
// fsyncs, and to read the directory after an error as many files as there are.
func (h *History) Flush() error {
	if !h.writeMu.TryLock() {
		return nil
	}
	defer h.writeMu.Unlock()
	h.mu.Lock()
	told, gap := len(h.buf), h.gap
	h.mu.Unlock()
	if told == 0 && gap == 0 {
		return nil
	}
	if h.fault != nil || h.shelf == nil || !h.shelf.room(told, time.Now()) {
		signal(h.hurry)
		return nil
	}
	return h.flush()
}

// flushAll is a Flush that does all there is to do. It waits for a write under way, which may have begun before the latest notes: nobody
// else wakes Run for these. An error is told by flush.
func (h *History) flushAll() error {
	h.writeMu.Lock()
	defer h.writeMu.Unlock()
	return h.flush()
}

// flush is Flush for a caller that holds writeMu.
func (h *History) flush() error {
	h.mu.Lock()
	full, gap, since := h.buf, h.gap, h.since
	h.buf, h.gap = h.spare[:0], 0
	h.mu.Unlock()
	h.spare = nil
	if cap(full) <= keptBuffer {
		h.spare = full
	}
	if len(full) == 0 && gap == 0 || !h.cfg.on() {
		return nil
	}
	now := time.Now()
	notes, err := h.write(full, gap, since, now)
	h.written.Add(notes)
	if err != nil {
		h.fail(err, now)
		h.lose(full, notes, gap, since)
	} else {
		h.told = ""
	}
	return err
}

// write writes a gap, if there is one, and the notes. It returns how many notes are written.
func (h *History) write(notes []byte, gap, since int64, now time.Time) (written int64, err error) {
	if err := h.ready(now); err != nil {
		return 0, err
	}
	if gap > 0 {
		if err := h.shelf.put(&note{kind: kindGap, time: now.UnixMilli(), count: gap, since: since}); err != nil {
			return 0, err
		}
	}
	var n note
	pending := int64(0)
	for r := (buffered{notes}); r.next(&n); {
		if err := h.shelf.put(&n); err != nil {
			return written, err
		}
		if pending++; len(h.shelf.pen.out) == 0 { // put has written all
			written, pending = written+pending, 0
		}
	}
	if err := h.shelf.flush(); err != nil {
		return written, err
	}
	if gap > 0 {
		h.deps.Log.Warn("the history goes on", "events_missing", gap)
	}
	return written + pending, nil
}

// lose counts the notes behind the first, which were written, and the gap that was not told.
func (h *History) lose(notes []byte, written, gap, since int64) {
	var n note
	events, first := int64(0), int64(0)
	for r := (buffered{notes}); r.next(&n); {
		if events++; events == written+1 {
			first = n.time
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if written > 0 { // the gap was written with the first notes
		gap = 0
	}
	if gap > 0 {
		first = since
		h.missed.Add(-gap) // it is counted already
	}
	if lost := events - written + gap; lost > 0 {
		h.miss(lost, first)
		h.since = min(h.since, first)
	}
}

// ready reads the shelf, if that was not done, or an error came between. What a second reading finds is known from the error.
func (h *History) ready(now time.Time) error {
	if h.shelf != nil && h.fault == nil {
		return nil
	}
	if h.fault != nil && now.Before(h.retry) && h.retry.Sub(now) <= retryInterval {
		return h.fault
	}
	s := &shelf{cfg: h.cfg, dir: h.deps.Dir, log: h.deps.Log, disk: h.disk}
	if h.shelf != nil {
		s.log = hclog.NewNullLogger()
	}
	if err := s.load(now); err != nil {
		s.abandon()
		return err
	}
	h.shelf, h.fault = s, nil
	return nil
}

// fail ends the writing of the shelf after an error of the disk. What it has can be looked up until the next one is read. The log has the
// error once, also when it comes again at each retry.
func (h *History) fail(err error, now time.Time) {
	if h.shelf != nil {
		h.shelf.abandon()
	}
	if err == h.fault { // ready waits
		return
	}
	if h.told != err.Error() {
		h.deps.Log.Error("the history cannot be written; events are counted and not kept", "error", err)
	}
	h.fault, h.retry, h.told = err, now.Add(retryInterval), err.Error()
}

// tend takes over the configuration, removes what is too much and, if expire is set, what is over. It waits for a write under way.
func (h *History) tend(expire bool) {
	h.writeMu.Lock()
	defer h.writeMu.Unlock()
	now := time.Now()
	if next := h.next.Swap(nil); next != nil {
		h.cfg, h.retry = *next, time.Time{}
	}
	if err := h.settle(now, expire); err != nil {
		h.fail(err, now)
	}
	h.note()
}

// settle brings the shelf to what the configuration says now. writeMu is held.
func (h *History) settle(now time.Time, expire bool) error {
	if err := h.ready(now); err != nil {
		return err
	}
	h.shelf.cfg = h.cfg
	if !h.cfg.on() {
		return h.shelf.clear()
	}
	if expire {
		if err := h.shelf.expire(now); err != nil {
			return err
		}
	}
	return h.shelf.trim()
}

// SetConfig has Run take over another configuration. What it does not keep is removed.
func (h *History) SetConfig(cfg Config) {
	h.off.Store(!cfg.on())
	h.next.Store(&cfg)
	signal(h.changed)
}

// Close writes what was told and closes the files. The history must be told nothing more.
func (h *History) Close() error {
	h.writeMu.Lock()
	defer h.writeMu.Unlock()
	err := h.flush()
	if h.shelf != nil {
		h.shelf.abandon()
		h.shelf = nil
	}
	return err
}

// Status is the history in numbers.
type Status struct {
	Segments int
	Bytes    int64     // of all files
	Oldest   time.Time // of what is kept; zero: nothing is
	Written  int64     // events written since start
	Missed   int64     // events not kept since start
	Fault    string    // why nothing is written now
}

// Status returns the history in numbers. It does not wait for the disk: while a write is under way, the files are those of the last
// Status.
func (h *History) Status() Status {
	if h.writeMu.TryLock() {
		h.note()
		h.writeMu.Unlock()
	}
	st := *h.status.Load()
	st.Written, st.Missed = h.written.Load(), h.missed.Load()
	return st
}

// note keeps for Status what the shelf has. It walks over all segments, so no write does it. writeMu is held.
func (h *History) note() {
	var st Status
	if h.fault != nil {
		st.Fault = h.fault.Error()
	}
	if h.shelf != nil {
		st.Segments, st.Bytes, st.Oldest = len(h.shelf.segments), h.shelf.bytes(), h.shelf.oldest()
	}
	h.status.Store(&st)
}
