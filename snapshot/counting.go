package snapshot

import (
	"fmt"
	"runtime/debug"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// Counter keeps counters that go on over a restart. What it counts of an outcome stands in the commit that marks the recipient done, so
// that a crash can neither lose the one nor keep the other. All methods are called with the journal's lock held, but for Replay: they
// must be quick, and call nothing of the journal.
type Counter interface {
	// Taken is told that the record of m goes into the commit in the making (n is 1), or that m was not taken after all (n is −1).
	Taken(m *relay.Message, n int)
	// Count counts an event, EventSettled or EventDeferred, about a message that is here. A recipient is settled once.
	Count(e *relay.Event)
	// Append appends a record of what was counted since the last one, or nothing; with all, a record of every counter as it stands, which
	// takes the place of all records before it.
	Append(b []byte, all bool) []byte
	// Snapshot appends every counter as of the last record.
	Snapshot(b []byte) []byte
	// Replay reads what Snapshot and then Append have written, in this order. It ignores a record that it knows already.
	Replay(p []byte) error
}

// CountWith has c count. It is called once, before Recover. c is given what is on record, and counts when Recover has read it: before
// the first message is given out.
func (a *Agent) CountWith(c Counter) { a.counter = c }

// Precede has flush called on the writer goroutine before each commit with outcomes is written. A mail log that writes its lines out
// there, without a sync, has a line for each outcome that a killed daemon has recorded. The journal waits for flush: it must not block.
// Precede is called once, before Recover.
func (a *Agent) Precede(flush func()) { a.writer.precede = flush }

// keptCounts is the name under which a snapshot has the counters.
const keptCounts = "counts"

// counting is the Counter's place in the journal. The ledger's mutex guards it.
type counting struct {
	by     Counter // nil: none, or what is on record was not read yet
	broken bool    // a fault of by has ended the counting; what by has counted until then stays
	all    bool    // a commit is lost that held a record: the next record must have everything
	fault  error   // that ended the counting and was not told yet
}

// counts reports whether what happens is counted.
func (c *counting) counts() bool { return c.by != nil && !c.broken }

func (c *counting) taken(m *relay.Message, n int) {
	if c.counts() {
		defer c.survive()
		c.by.Taken(m, n)
	}
}

func (c *counting) count(e *relay.Event) {
	if c.counts() {
		defer c.survive()
		c.by.Count(e)
	}
}

// survive ends the counting after a fault of the Counter: the journal goes on without it.
func (c *counting) survive() {
	if fault := recover(); fault != nil {
		c.broken, c.fault = true, fmt.Errorf("%v\n%s", fault, debug.Stack())
	}
}

// takeFault returns the fault that ended the counting, once.
func (l *ledger) takeFault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.counts.fault
	l.counts.fault = nil
	return err
}

// appendTo closes the record of what was counted up to now, as a frame of b. Every counter at once may be larger than what a full disk
// has left for outcomes, so nothing is written while no mail is taken: what was counted stays in RAM.
func (c *counting) appendTo(b *batch, blocked bool) {
	if !c.counts() || blocked {
		return
	}
	defer c.survive()
	buf, at := format.BeginFrame(b.buf)
	buf = c.by.Append(buf, c.all)
	if len(buf) == at+format.FrameHead {
		b.buf = buf[:at]
		return
	}
	format.EndFrame(buf, at, format.KindCounts, b.stamp)
	b.buf, c.all = buf, false
}

// snapshot is every counter as of the last record. What was counted since stands in the commit in the making; blocked says that no
// commit has records now, and then the counters are those of this moment. A snapshot without counters would have them begin at 0.
func (c *counting) snapshot(blocked bool) []byte {
	if c.by == nil {
		return nil
	}
	defer c.survive()
	if blocked && !c.broken { // the record closed here stands in the snapshot alone
		c.all = true
		return c.by.Append(nil, true)
	}
	return c.by.Snapshot(nil)
}
