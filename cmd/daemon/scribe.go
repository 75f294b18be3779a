package daemon

import (
	"sync/atomic"
	"time"
)

// scribePatience is how long a commit of the journal waits for the logs. A write to a file takes some microseconds, and on a busy machine a
// part of a second now and then. A disk that hangs must not keep the journal, which may lie on another one: it costs one commit this time,
// and those behind it none.
const scribePatience = time.Second

// scribe writes the logs out before each commit of the journal that has outcomes, so that a daemon that is killed has a line for each
// outcome on record. Nothing is synced: a power cut may take lines, and the logs of all programs beside them.
type scribe struct {
	logs []func()      // each writes its lines out if it can do so now
	ask  chan struct{} // has room for one: run may be on its way back to it
	done chan struct{} // likewise
	late atomic.Bool   // a commit has not waited for the end of the writing under way
	quit chan struct{} // closed by end
	over chan struct{} // closed when run has returned
}

// newScribe makes the scribe and has the journal call it. It writes until letGo ends it, behind the journal's last commit: a daemon that is
// killed while it stops has a line for each outcome too.
func (d *Daemon) newScribe() {
	d.scribe = scribeOf(d.mail.hasten,
		func() { _ = d.events.Flush() },  // what is lost is counted, and told in the file
		func() { _ = d.history.Flush() }, // likewise
	)
	d.agent.Precede(d.scribe.write)
}

// scribeOf makes a scribe of these logs and starts it.
func scribeOf(logs ...func()) *scribe {
	s := &scribe{
		logs: logs, ask: make(chan struct{}, 1), done: make(chan struct{}, 1), quit: make(chan struct{}), over: make(chan struct{}),
	}
	go s.run() // ended by end
	return s
}

func (s *scribe) run() {
	defer close(s.over)
	for {
		select {
		case <-s.quit:
			return
		case <-s.ask:
		}
		for _, flush := range s.logs {
			flush()
		}
		select {
		case s.done <- struct{}{}:
		default: // that of a commit which has not waited is still there
		}
		s.late.Store(false)
	}
}

// end ends run and waits for it. Nobody calls write any more.
func (s *scribe) end() {
	close(s.quit)
	<-s.over
}

// write has the logs written out, and waits for that as long as it may. It returns at once while an earlier call's writing goes on.
func (s *scribe) write() {
	if s.late.Load() {
		return
	}
	select {
	case <-s.done:
	default:
	}
	select {
	case s.ask <- struct{}{}:
	default:
		return
	}
	late := time.NewTimer(scribePatience)
	defer late.Stop()
	select {
	case <-s.done:
	case <-late.C:
		s.late.Store(true)
		select {
		case <-s.done: // it has ended at the same moment, and perhaps before late was set
			s.late.Store(false)
		default:
		}
	}
}
