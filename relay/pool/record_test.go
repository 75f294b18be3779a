package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// record is a journal that keeps nothing but what was begun. It can be silent, and fail to record.
type record struct {
	relay.NoJournal

	mu     sync.Mutex
	silent error
	fails  int  // so many more will never be on record
	hushes bool // such a failure makes the journal silent
	failed int  // failures so far
	begun  int
	late   int      // of them, while the journal was silent
	log    []string // "begin domain", "wait domain"
}

var errFull = errors.New("disk full")

// Begin implements relay.Journal.
func (j *record) Begin(n *relay.Node) relay.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun++
	if j.silent != nil {
		j.late++
	}
	j.log = append(j.log, "begin "+n.Domain)
	return &begun{j: j, domain: n.Domain}
}

// Unwritable implements relay.Journal.
func (j *record) Unwritable() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.silent
}

func (j *record) hush(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.silent = err
}

// begun is that a visit was begun.
type begun struct {
	j      *record
	domain string
	err    error
}

// Done implements relay.Record.
func (b *begun) Done() <-chan struct{} {
	b.j.mu.Lock()
	defer b.j.mu.Unlock()
	b.j.log = append(b.j.log, "wait "+b.domain)
	if b.j.fails > 0 {
		b.j.fails--
		b.j.failed++
		b.err = errFull
		if b.j.hushes {
			b.j.silent = errFull
		}
	}
	done := make(chan struct{})
	close(done)
	return done
}

// Err implements relay.Record.
func (b *begun) Err() error { return b.err }

func newRecordedWorld(t *testing.T, cfg Config, j *record) *world {
	t.Helper()
	return newWorldOn(t, j, cfg, time.Hour, relay.DefaultQueueConfig().Channels, nil)
}

// unrecorded waits until the domain's queue says that it waits for the journal.
func (w *world) unrecorded(domain string) {
	w.t.Helper()
	w.eventually("the queue of "+domain+" waits for the journal", func() bool {
		return slices.ContainsFunc(w.queues.Queues(0), func(q relay.QueueStatus) bool {
			return q.Domain == domain && q.Busy == 0 && q.Active > 0 && strings.Contains(q.Reason, "nothing is sent that cannot be recorded: disk full")
		})
	})
}

// once reports all that happened and arrived unless it is that each of n messages was sent, once, and nobody was charged.
func (w *world) once(n int) {
	w.t.Helper()
	copies := make(map[string]int)
	for d := range w.sink.All() {
		copies[d.Rcpt]++
	}
	if s := w.handler.Status(); len(copies) != n || w.sink.Count() != n || s.Sent != int64(n) || len(w.happened()) != n || s.MaybeTwice != 0 {
		w.t.Errorf("%d messages came as %v; status %+v, events %.2000q", n, copies, s, w.happened())
	}
}

// While the journal is silent no queue is carried, connected for or looked at again, and each says why; afterwards all
// of them go on.
func TestNothingIsSentInSilence(t *testing.T) {
	j := &record{}
	w := newRecordedWorld(t, quick(), j)
	for _, d := range []string{"x", "y", "z", "new"} {
		w.listen(d, sink.Character{})
	}
	w.alias("x", "x2")
	for _, d := range []string{"x", "y"} { // these have shown that they work
		w.send("prove@" + d)
	}
	w.drained()
	w.eventually("the agents have ended", func() bool {
		return w.pool.channels.working(channelToken) == 0 && w.pool.channels.working(probationToken) == 0
	})
	connections := func() (n int64) {
		for _, d := range []string{"x", "y", "z", "new"} {
			n += w.sink.Counts(d).Connections
		}
		return n
	}
	before := connections()
	j.hush(errFull)
	for _, d := range []string{"x", "y", "z"} {
		w.send("a@"+d, "b@"+d)
		w.send("c@" + d)
		w.unrecorded(d)
	}
	// When a new queue has had its turn in the handler's line, all before it have.
	w.send("a@x2")
	w.unrecorded("x2")
	asked := w.asked.Load()
	for _, s := range w.pool.all() {
		s.tend(time.Now())
	}
	w.send("a@new")
	w.unrecorded("new")
	if n := w.asked.Load() - asked; n != 1 {
		t.Errorf("%d queues came again", n-1)
	}
	if n := connections(); n != before || j.begun != 2 || w.sink.Count() != 2 {
		t.Errorf("%d connections more, %d visits begun, %d arrived", n-before, j.begun, w.sink.Count())
	}
	j.hush(nil)
	w.drained()
	w.once(2 + 3*3 + 2)
}

// A journal that falls silent stops agents at work behind the message they have in hand.
func TestSilenceEndsDeliveries(t *testing.T) {
	cfg := quick()
	cfg.ConnectionsPerSite = 1
	j := &record{}
	w := newRecordedWorld(t, cfg, j)
	w.listen("x", sink.Character{Delay: time.Millisecond})
	const n = 200
	for i := range n {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.eventually("some are sent", func() bool { return w.sink.Count() >= 10 })
	j.hush(errFull)
	w.unrecorded("x")
	w.eventually("the agent has ended", func() bool { return w.pool.Sites()[0].Channels == 0 })
	// The one that is late was begun by an agent that had just asked.
	if sent := w.sink.Count(); sent != j.begun || j.late > 1 || sent == n {
		t.Errorf("%d sent, %d begun, %d of them late", sent, j.begun, j.late)
	}
	j.hush(nil)
	w.drained()
	w.once(n)
}

// What never comes on record is not sent, however often, and not charged either, to the message or to the site; it goes
// out once when the journal has recovered.
func TestNotOnRecord(t *testing.T) {
	for _, ext := range [][]string{{"8BITMIME"}, {"8BITMIME", "PIPELINING"}} {
		for _, hushes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/silent=%t", ext[len(ext)-1], hushes), func(t *testing.T) {
				t.Parallel()
				j := &record{fails: maxTroubles + 1, hushes: hushes} // also more than a node may go back to the front of its queue
				fails := j.fails
				w := newRecordedWorld(t, quick(), j)
				w.listen("x", sink.Character{Extensions: ext})
				w.send("a@x")
				w.send("b@x")
				for i := 1; hushes && i <= fails; i++ {
					w.eventually("the record fails", func() bool { j.mu.Lock(); defer j.mu.Unlock(); return j.failed == i })
					w.unrecorded("x")
					for l := range w.handler.Messages {
						if l.Recipients[0].Attempts != 0 {
							t.Errorf("charged: %+v", l)
						}
					}
					if w.sink.Count() != 0 || len(w.happened()) != 0 {
						t.Errorf("%d arrived, events %q", w.sink.Count(), w.happened())
					}
					j.hush(nil)
				}
				w.drained()
				w.once(2)
				if j.failed != fails {
					t.Errorf("%d records failed, want %d", j.failed, fails)
				}
			})
		}
	}
}

// One transaction for several domains begins the visit of each, and waits for each.
func TestEachVisitIsBegun(t *testing.T) {
	j := &record{silent: errFull} // until all of it waits at the site
	w := newRecordedWorld(t, quick(), j)
	w.listen("x", sink.Character{})
	w.alias("x", "y", "z")
	w.send("a@x", "b@y", "c@x", "d@z")
	for _, d := range []string{"x", "y", "z"} {
		w.unrecorded(d)
	}
	j.hush(nil)
	w.drained()
	w.once(4)
	if len(j.log) == 6 { // which of the queues comes first is for the line to say
		slices.Sort(j.log[:3])
		slices.Sort(j.log[3:])
	}
	if got := strings.Join(j.log, ", "); got != "begin x, begin y, begin z, wait x, wait y, wait z" || w.sink.Counts("x").Messages != 1 {
		t.Errorf("%s, and %d transactions", got, w.sink.Counts("x").Messages)
	}
}

// stuck is a journal on a disk that hangs.
type stuck struct{ relay.NoJournal }

func (j stuck) Begin(*relay.Node) relay.Record { return j }
func (stuck) Done() <-chan struct{}            { return nil }
func (stuck) Err() error                       { return nil }

// A disk that hangs does not hold up a stop for longer than connections would, and what was not on record is not sent.
func TestStopWhileTheDiskHangs(t *testing.T) {
	w := newWorldOn(t, stuck{}, quick(), time.Hour, relay.DefaultQueueConfig().Channels, nil)
	w.listen("x", sink.Character{})
	w.send("a@x")
	w.eventually("the message is begun", func() bool { return w.sink.Counts("x").Connections == 1 })
	now, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	w.pool.Stop(now)
	if d := time.Since(began); d > 2*cutGrace || w.sink.Count() != 0 {
		t.Errorf("stopped after %s, %d arrived", d, w.sink.Count())
	}
}
