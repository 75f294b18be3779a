package snapshot

import (
	"errors"
	"time"
)

// pulseInterval is how often the writer looks after what nobody asks for: a disk that has healed, a directory that was
// deleted, an fsync that is due.
const pulseInterval = time.Second

// writer is the one goroutine that writes and syncs the journal. Commits gather in the ledger while it waits for the disk:
// the slower the disk, the larger they are, and the fewer fsyncs a message costs.
type writer struct {
	cfg    *Config
	book   *ledger
	bell   *bell
	tape   *tape
	healer *healer

	precede func() // Precede; nil: nobody wants to be called

	flushes chan chan error // somebody wants everything durable
	quit    chan struct{}   // closed to end the goroutine
	done    chan struct{}   // closed when it has ended
}

// run is the writer goroutine. Open starts it; stop ends it. It needs no order among its channels: each of them leads to a commit
// of everything that has gathered, and the late timer and the pulse come again.
func (w *writer) run() {
	defer close(w.done)
	pulse := time.NewTicker(min(pulseInterval, w.cfg.Journal.SyncInterval))
	defer pulse.Stop()
	for {
		select {
		case <-w.bell.now:
			w.gather()
			w.timed(func() { w.commit(false) })
		case <-w.bell.late.C:
			w.timed(func() { w.commit(false) })
		case <-pulse.C:
			w.timed(w.pulse)
		case reply := <-w.flushes:
			w.timed(func() { reply <- w.commitAll() }) // has room for one
		case <-w.quit:
			w.tape.stop()
			w.bell.alarm.close()
			return
		}
	}
}

// gather waits until those have asked who are likely to, when somebody waits for the disk.
func (w *writer) gather() {
	if w.cfg.Ack != AckJournal {
		return
	}
	if d := w.bell.gather.wait(); d > 0 {
		w.bell.alarm.wait(d)
	}
}

// timed does a piece of work while the clock runs.
func (w *writer) timed(work func()) {
	w.book.clock.punchIn()
	work()
	w.book.clock.punchOut()
}

// stop ends the goroutine and waits for it. Nothing may be recorded any more.
func (w *writer) stop() {
	close(w.quit)
	<-w.done
}

// drain makes durable what was recorded so far. It is called from any other goroutine.
func (w *writer) drain() error {
	reply := make(chan error, 1)
	select {
	case w.flushes <- reply:
		return <-reply
	case <-w.quit:
		return ErrClosed
	}
}

// commitAll makes everything durable. What a first failure left in RAM goes into the segment that takes its place, so there
// is a second try, in another file.
func (w *writer) commitAll() error {
	err := w.commit(true)
	if err != nil {
		err = w.commit(true)
	}
	return err
}

// commit writes what has gathered and syncs it if that is due, or if force is set. It returns why no message is taken, also when
// the commit itself went well: whoever flushes must know that something is left in RAM.
func (w *writer) commit(force bool) error {
	w.book.lapse(time.Now())
	if b := w.book.seal(w.tape.spare); b != nil {
		w.tape.spare = nil
		if w.precede != nil && len(b.marks) > 0 {
			w.precede()
		}
		if err := w.tape.prepare(b); err != nil {
			return w.healer.fail(b, err)
		}
		if err := w.tape.writeBatch(b); err != nil {
			return w.healer.fail(b, err)
		}
	}
	if force || w.tape.syncDue() {
		if err := w.tape.sync(); err != nil {
			return w.healer.fail(nil, err)
		}
	}
	return w.book.refusal()
}

// pulse looks after what nobody asks for.
func (w *writer) pulse() {
	if err := w.book.takeFault(); err != nil {
		w.healer.log.Error("counters stand still until the next start, because of an internal error", "error", err)
	}
	if !errors.Is(w.book.refusal(), errGone) && w.tape.deleted() {
		w.tape.seg.broken = true
		w.healer.fail(nil, errGone)
	}
	switch {
	case w.book.refusal() != nil:
		w.healer.heal()
		if w.book.refusal() != nil {
			w.commit(false) // there may be room for marks, if for nothing else
		}
	case w.tape.syncDue():
		w.commit(false)
	}
}
