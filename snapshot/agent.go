package snapshot

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// manySegments is so many that a snapshot is taken at once: a daemon that ends again and again before its first snapshot
// would fill the disk with segments.
const manySegments = 16

// Agent is the recovery agent: a relay.Journal that brings back, after a crash, every message that is not done. It is a
// façade: the ledger holds the state, the writer writes the journal, the keeper writes snapshots. Its methods may be called
// from any goroutine.
type Agent struct {
	cfg      Config
	log      hclog.Logger
	fs       FileSystem
	lock     *dirLock
	ids      ids
	count    counts
	book     *ledger
	writer   *writer
	keeper   *keeper
	counter  Counter                // CountWith; nil: none
	found    atomic.Pointer[survey] // what Open found, until Recover reads it
	progress progress               // of Recover
	kept     map[string][]byte      // what the last start kept; never changed
	secret   []byte                 // Secret
	storing  sync.Mutex             // one Store at a time
	end      func(fault any)        // crash; tests replace it
}

var _ relay.Journal = (*Agent)(nil)

// NewID returns an id that no message of this state directory ever had: above an epoch, which is durable, it counts. An old mark
// "done" can therefore never fit a new message. It returns 0 when no id is left until the journal can be written again; Take
// refuses such a message.
func (a *Agent) NewID() relay.ID { return a.ids.next() }

// Take implements relay.Journal: it returns nil when m is as safe as Config.Ack says. After an error the message stays with
// the MTA: it is not in the journal, or only in a part that recovery leaves out, or as one that is done. Take runs on the
// door's goroutine, writes m's record into the commit in the making, and waits for the writer; doors that wait together share
// one fsync. While that is overdue, takes are refused with ErrBusy.
func (a *Agent) Take(m *relay.Message) error {
	defer a.endOnFault()
	if err := a.secure(m); err != nil {
		return fmt.Errorf("take %s: %w", m.ID, err)
	}
	return nil
}

// secure is Take without the id in its error.
func (a *Agent) secure(m *relay.Message) error {
	if err := fits(m); err != nil {
		return err
	}
	if a.cfg.Ack == AckMemory {
		b, ok, err := a.book.record(m)
		if b == nil || ok {
			return err
		}
	}
	p := a.book.waitPatiently()
	defer p.stop()
	b, err := p.enlist(m)
	if err != nil || a.cfg.Ack == AckMemory {
		return err
	}
	return p.endure(b, m)
}

// fits refuses what no frame can hold. A recipient costs at most about a kilobyte beside the message's own size.
func fits(m *relay.Message) error {
	if m.RcptCount() == 0 {
		return errors.New("message without recipients")
	}
	if m.ID == 0 {
		return fmt.Errorf("%w: no message id is left until the journal goes on in another segment", ErrBusy)
	}
	if len(m.Content.Part()) == 0 {
		return errors.New("message is not divided")
	}
	if m.Content.Size()+int64(m.RcptCount())*1024 > format.MaxFrame {
		return ErrTooLarge
	}
	return nil
}

// Begin implements relay.Journal. The mark is in force until a receiver has said something about the node, or its message is
// gone. There is nothing to wait for with ack = "memory", and after the state directory was deleted.
func (a *Agent) Begin(n *relay.Node) relay.Record {
	defer a.endOnFault()
	return a.book.recordBegun(n)
}

// Expect implements relay.Journal.
func (a *Agent) Expect(nodes []*relay.Node) {
	defer a.endOnFault()
	a.book.expect(nodes)
}

// Unwritable implements relay.Journal. With ack = "memory" nothing waits for the disk. After the state directory was deleted
// nothing waits either: what cannot come back cannot be sent twice, and sending it is all that is left to do.
func (a *Agent) Unwritable() error {
	if why := a.book.unwritable.Load(); why != nil {
		return *why
	}
	return nil
}

// noRelay is what an event names as its relay when no receiver was reached.
const noRelay = "none"

// Event implements relay.Listener. It records what is decided and does not wait for the disk: a handler that waited for the
// fsync of each outcome would deliver as slowly as the disk syncs. Events about messages that are not here are ignored.
func (a *Agent) Event(e *relay.Event) {
	defer a.endOnFault()
	switch e.Kind {
	case relay.EventHeard:
		a.book.recordHeard(e.Message.ID)
	case relay.EventHungUp:
		a.book.hangUp(e.Message.ID)
	case relay.EventSettled:
		if e.MaybeTwice {
			a.book.loseReply(e.Node)
		}
		a.book.recordSettled(e, whyDone(e.Outcome))
	case relay.EventReported:
		a.book.recordDone(e.Message.ID, e.Rcpt, format.WhyReported)
	case relay.EventDeferred:
		a.book.recordWait(e)
	case relay.EventPutBack:
		a.book.recordPutBack(e.Node)
	case relay.EventRemoved:
		a.book.recordGone(e.Message.ID)
	}
}

// whyDone is why a recipient with this outcome is done, or WhyUnknown when he is not. A failure is done only when the sender knows
// of it: until then a restart must find the recipient again.
func whyDone(o relay.Outcome) format.Why {
	switch o {
	case relay.Sent:
		return format.WhySent
	case relay.HandedBack:
		return format.WhyHandedBack
	case relay.Deleted:
		return format.WhyRemoved
	}
	return format.WhyUnknown
}

// NameDoubts says, when flush has succeeded, that the mail log has named whom it was told of before: what Recover gave out as
// doubtful, and whose last reply was lost. Each of them is named once. Until then the next start gives it out again, whatever
// snapshots are taken. flush writes out the mail log; it is not called when there is nothing to name.
func (a *Agent) NameDoubts(flush func() error) error {
	nodes, handedOn := a.book.toName()
	if len(nodes) == 0 && !handedOn {
		return nil
	}
	if err := flush(); err != nil {
		return err
	}
	a.book.name(nodes)
	return nil
}

// Keep makes every snapshot hold what save returns, under name: state that is worth keeping over a restart and not worth
// more. The keeper goroutine calls save.
func (a *Agent) Keep(name string, save func() []byte) { a.keeper.register(name, save) }

// Kept returns what the last start kept under name, or nil.
func (a *Agent) Kept(name string) []byte { return a.kept[name] }

// WriteSnapshot writes a snapshot now, and waits for it. It does nothing before the recovery is complete.
func (a *Agent) WriteSnapshot() error { return a.keeper.ask() }

// Flush makes durable what was recorded so far, and waits for it.
func (a *Agent) Flush() error { return a.writer.drain() }

// Recover gives f each message that has recipients who are not done, in the order in which the messages were taken, and then
// the messages that are done and that the MTA may offer again. When f returns, the message must stay as it is: the agent may
// write it again. Take and Event may be called meanwhile, Event also for messages f has been given. Recover is called once.
// An error of f ends it and is returned.
func (a *Agent) Recover(f func(relay.Saved) error) (Report, error) {
	v := a.found.Swap(nil)
	if v == nil {
		return Report{}, errors.New("recovered already")
	}
	r := newRecovery(a.fs, a.log, a.book, a.cfg.salvage)
	r.progress, r.counter = &a.progress, a.counter
	report, err := r.replay(v, f)
	if err != nil {
		return report, err
	}
	told := report
	if v.fresh && len(v.segments) == 0 {
		told = Report{} // there was nothing to recover: Status says nothing of it
	}
	a.book.mu.Lock()
	many := len(a.book.segs) > manySegments
	a.book.mu.Unlock()
	a.keeper.permit(&told, many)
	report.logTo(a.log)
	return report, nil
}

// Close makes everything durable, so that the next start delivers nothing twice, writes a last snapshot and gives the
// state directory free. What is told to Event meanwhile may be forgotten: whoever delivers must have stopped. Close ends both
// goroutines and waits for them. A second call does nothing.
//
// The order matters: refuse takes, commit what was recorded, write the snapshot that says so, and only then end the writer.
func (a *Agent) Close() error {
	if !a.book.stopTaking() {
		return nil
	}
	err := a.writer.drain()
	kerr := a.keeper.stop(err == nil)
	a.writer.stop()
	if err == nil {
		err = kerr
	}
	if a.lock != nil {
		a.lock.Close()
	}
	return err
}
