package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// abacus is a Counter that counts what the totals of the journal count: after any crash the two must agree. A record is a byte that
// says whether it is absolute, its number, and the beads.
type abacus struct {
	number    uint64
	beads     [5]int64 // messages, recipients, sent, handed back, visits deferred
	since     [5]int64 // of them, since the last record
	last      [5]int64 // as of the last record
	replayed  int
	broken    bool // Count panics
	malformed bool // Replay returns an error
}

func newAbacus() *abacus { return &abacus{} }

func abacusOf(a *Agent) *abacus { return a.counter.(*abacus) }

func (c *abacus) add(i int, n int64) { c.beads[i] += n; c.since[i] += n }

func (c *abacus) Taken(m *relay.Message, n int) {
	c.add(0, int64(n))
	c.add(1, int64(n*m.RcptCount()))
}

func (c *abacus) Count(e *relay.Event) {
	switch {
	case c.broken:
		panic("broken abacus")
	case e.Kind == relay.EventDeferred:
		c.add(4, 1)
	case e.Outcome == relay.Sent:
		c.add(2, 1)
	case e.Outcome == relay.HandedBack:
		c.add(3, 1)
	}
}

func (c *abacus) Append(b []byte, all bool) []byte {
	if c.since == [5]int64{} && !all {
		return b
	}
	c.number++
	what, n := byte(0), c.since
	if all {
		what, n = 1, c.beads
	}
	c.last, c.since = c.beads, [5]int64{}
	return appendBeads(b, what, c.number, n)
}

func (c *abacus) Snapshot(b []byte) []byte { return appendBeads(b, 1, c.number, c.last) }

func appendBeads(b []byte, what byte, number uint64, beads [5]int64) []byte {
	b = binary.BigEndian.AppendUint64(append(b, what), number)
	for _, n := range beads {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func (c *abacus) Replay(p []byte) error {
	if c.malformed || len(p) != 49 {
		return errors.New("malformed")
	}
	number := binary.BigEndian.Uint64(p[1:])
	if number <= c.number {
		return nil
	}
	c.replayed++
	c.number = number
	for i := range c.beads {
		n := int64(binary.BigEndian.Uint64(p[9+8*i:]))
		if p[0] == 0 {
			n += c.beads[i]
		}
		c.beads[i] = n
	}
	c.last = c.beads
	return nil
}

// check compares with the totals.
func (c *abacus) check(t format.Totals) error {
	want := [5]int64{int64(t[format.TotalMessages]), int64(t[format.TotalRecipients]), int64(t[2]), int64(t[3]), int64(t[format.TotalDeferred])}
	if c.beads != want {
		return fmt.Errorf("counted %v, the totals are %v", c.beads, want)
	}
	return nil
}

// TestCounterFails: a Counter that panics, and a record that it cannot read, cost the counters and nothing else.
func TestCounterFails(t *testing.T) {
	m := newMemFS()
	a, _, _ := mustStart(t, m, smallConfig())
	must(t, a.Take(message(a.NewID(), "b", "x@a.example", "y@a.example")))
	must(t, a.Flush())
	abacusOf(a).broken = true
	msg := message(a.NewID(), "b", "x@a.example")
	must(t, a.Take(msg))
	a.Event(&relay.Event{Kind: relay.EventSettled, Outcome: relay.Sent, Message: msg})
	a.Event(&relay.Event{Kind: relay.EventRemoved, Message: msg, Rcpt: -1})
	must(t, a.Flush())
	if err := a.book.takeFault(); err == nil || !strings.Contains(err.Error(), "broken abacus") || a.book.takeFault() != nil {
		t.Errorf("fault %v", err)
	}
	for a.Status().Segments < 3 { // the records of what was counted are in a segment that no start reads any more
		must(t, a.Take(message(a.NewID(), strings.Repeat("b", 900), "x@a.example")))
	}
	must(t, a.WriteSnapshot())
	m = m.killed()
	if z, _, _ := mustStart(t, m.killed(), smallConfig()); abacusOf(z).beads[0] != 2 {
		t.Errorf("what was counted before the fault is forgotten: %v", abacusOf(z).beads)
	}
	b, err := open(m, smallConfig(), hclog.NewNullLogger())
	must(t, err)
	defer b.Close()
	c := newAbacus()
	c.malformed = true
	b.CountWith(c)
	n := 0
	r, err := b.Recover(func(s relay.Saved) error { n += min(len(s.Nodes), 1); return nil })
	must(t, err)
	if n < 2 || !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.HasPrefix(s, "counters begin too low") }) {
		t.Errorf("%d messages, notes %q", n, r.Notes)
	}
}

// TestPrecede: the log is written out before each commit with outcomes, and not before one of messages alone.
func TestPrecede(t *testing.T) {
	m := newMemFS()
	a, err := open(m, smallConfig(), hclog.NewNullLogger())
	must(t, err)
	defer a.Close()
	var calls atomic.Int32
	a.Precede(func() { calls.Add(1) })
	_, err = a.Recover(func(relay.Saved) error { return nil })
	must(t, err)
	msg := message(a.NewID(), "b", "x@a.example")
	must(t, a.Take(msg))
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls for a message", n)
	}
	a.Event(&relay.Event{Kind: relay.EventSettled, Outcome: relay.Sent, Message: msg})
	must(t, a.Flush())
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls for an outcome", n)
	}
}

// TestSnapshotAndCountersAgree: a snapshot knows of outcomes that no commit has yet, and what it counts has them after a kill.
func TestSnapshotAndCountersAgree(t *testing.T) {
	cfg := smallConfig()
	cfg.Journal.CommitInterval = time.Hour
	m, f := newMemFS(), &failing{}
	m.hook = f.hook
	a, _, _ := mustStart(t, m, cfg)
	for _, full := range []bool{false, true} {
		msg := message(a.NewID(), "b", "x@a.example", "y@a.example")
		must(t, a.Take(msg))
		a.Event(&relay.Event{Kind: relay.EventSettled, Outcome: relay.Sent, Message: msg})
		if full {
			f.set("write", syscall.ENOSPC)
			a.Flush()
			f.set("write", nil)
			a.Event(&relay.Event{Kind: relay.EventSettled, Outcome: relay.Sent, Message: msg, Rcpt: 1})
		}
		a.WriteSnapshot()
		b, _, _ := mustStart(t, m.killed(), cfg)
		if err := abacusOf(b).check(total(b)); err != nil || total(b)[format.TotalRecipients+1] == 0 {
			t.Errorf("full %v: %v; totals %v", full, err, total(b))
		}
	}
}
