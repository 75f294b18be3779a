package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// books is what an agent was told, outside of what crashes: why each recipient is done, and how many visits were deferred.
type books struct {
	taken    map[relay.ID]*relay.Message
	open     map[relay.ID][]int // recipients of a message who are not done
	why      map[relay.ID]map[int]format.Why
	deferred uint64
}

func newBooks() *books {
	return &books{taken: make(map[relay.ID]*relay.Message), open: make(map[relay.ID][]int), why: make(map[relay.ID]map[int]format.Why)}
}

func (b *books) take(a *Agent, m *relay.Message) {
	if a.Take(m) != nil {
		return
	}
	b.taken[m.ID], b.why[m.ID] = m, make(map[int]format.Why)
	for i := range m.Rcpts {
		b.open[m.ID] = append(b.open[m.ID], i)
	}
}

// decide does something to a message that waits.
func (b *books) decide(a *Agent, rng *rand.Rand) {
	for id, open := range b.open { // any
		m, r := b.taken[id], open[0]
		end := map[format.Why]relay.Event{
			format.WhySent: {Kind: relay.EventSettled, Outcome: relay.Sent}, format.WhyHandedBack: {Kind: relay.EventSettled, Outcome: relay.HandedBack},
			format.WhyReported: {Kind: relay.EventReported}, format.WhyRemoved: {Kind: relay.EventSettled, Outcome: relay.Deleted},
		}
		why := []format.Why{format.WhySent, format.WhySent, format.WhyHandedBack, format.WhyReported, format.WhyRemoved, format.WhyUnknown}[rng.IntN(6)]
		if why == format.WhyUnknown {
			a.Event(&relay.Event{Kind: relay.EventDeferred, Message: m, Node: m.Node(0), Rcpt: -1})
			b.deferred++
			return
		}
		e := end[why]
		e.Message, e.Rcpt = m, r
		a.Event(&e)
		b.why[id][r] = why
		if b.open[id] = open[1:]; len(open) == 1 {
			delete(b.open, id)
			a.Event(&relay.Event{Kind: relay.EventRemoved, Message: m, Rcpt: -1})
		}
		return
	}
}

// check compares the totals of a start with what it gave out: whoever is not given out is done, for the reason on the books. exact
// says that all visits are on the disk. A message whose take failed with the disk may be there.
func (b *books) check(t format.Totals, saved []relay.Saved, exact bool) error {
	var want format.Totals
	back := make(map[relay.ID]map[int]bool)
	for _, s := range saved {
		if b.taken[s.Message.ID] == nil && len(s.Nodes) > 0 {
			b.taken[s.Message.ID] = s.Message
		}
		back[s.Message.ID] = make(map[int]bool)
		for _, n := range s.Nodes {
			for _, r := range n.Rcpts {
				back[s.Message.ID][r] = true
			}
		}
	}
	for id, m := range b.taken {
		want.Take(m.RcptCount())
		for i := range m.Rcpts {
			if !back[id][i] {
				want.Done(b.why[id][i], 1)
			}
		}
	}
	if want[format.TotalDeferred] = b.deferred; !exact {
		if t[format.TotalDeferred] > b.deferred {
			return fmt.Errorf("%d visits were deferred and not %d", b.deferred, t[format.TotalDeferred])
		}
		b.deferred = t[format.TotalDeferred]
		want[format.TotalDeferred] = b.deferred
	}
	if t != want {
		return fmt.Errorf("%v, want %v", t, want)
	}
	return nil
}

// again notes what a crash has made undone.
func (b *books) again(saved []relay.Saved) {
	clear(b.open)
	for _, s := range saved {
		for _, n := range s.Nodes {
			b.open[s.Message.ID] = append(b.open[s.Message.ID], n.Rcpts...)
			for _, r := range n.Rcpts {
				delete(b.why[s.Message.ID], r)
			}
		}
	}
	for id, m := range b.taken {
		if b.why[id] == nil {
			b.why[id] = make(map[int]format.Why)
		}
		if m.NodeCount() == 0 {
			b.taken[id] = message(id, "b", addressesOf(m)...)
		}
	}
}

func addressesOf(m *relay.Message) (all []string) {
	for _, r := range m.Rcpts {
		all = append(all, r.Addr)
	}
	return all
}

// TestTotals: after each of 200 kills, and after clean stops between them, the totals are those of what was decided durably.
func TestTotals(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 11))
		m, b := newMemFS(), newBooks()
		for kill := range 25 {
			a, saved, _, err := start(m, smallConfig())
			must(t, err)
			if err := errors.Join(b.check(total(a), saved, kill == 0), abacusOf(a).check(total(a))); err != nil {
				t.Fatalf("seed %d, start %d: %v", seed, kill, err)
			}
			b.again(saved)
			for range 5 + rng.IntN(60) {
				switch n := rng.IntN(20); {
				case n < 8:
					b.take(a, message(a.NewID(), strings.Repeat(fmt.Sprint(n%3), 100), rcptsFor(rng.IntN(8))...))
				case n == 8:
					must(t, a.WriteSnapshot())
				case n == 9:
					must(t, a.Flush())
				default:
					b.decide(a, rng)
				}
			}
			if rng.IntN(4) == 0 {
				must(t, a.Close())
			}
			m = m.killed()
			a.Close()
		}
	}
}

// TestTotalsOverFailures: a disk that fails at any call, and a kill behind it, count nothing twice and forget nothing.
func TestTotalsOverFailures(t *testing.T) {
	for _, ack := range []Ack{AckJournal, AckWritten} {
		t.Run(string(ack), func(t *testing.T) { totalsOverFailures(t, ack) })
	}
}

func totalsOverFailures(t *testing.T, ack Ack) {
	cfg := smallConfig()
	cfg.Ack = ack
	for n := 1; ; n += raceStep {
		rng := rand.New(rand.NewPCG(5, 5))
		m, b := newMemFS(), newBooks()
		failed := false
		m.hook = func(i int, op, _ string) error {
			if failed = failed || i == n; i == n {
				return syscall.EIO
			}
			return nil
		}
		a, _, _, err := start(m, cfg)
		if err == nil {
			for range 60 {
				if rng.IntN(3) == 0 {
					b.take(a, message(a.NewID(), strings.Repeat("b", 700), rcptsFor(rng.IntN(8))...))
				} else {
					b.decide(a, rng)
				}
				if rng.IntN(10) == 0 {
					a.WriteSnapshot()
				}
			}
			a.Flush()
			m = m.killed()
			a.Close()
		}
		m.hook = nil
		z, saved, _, err := start(m, smallConfig())
		must(t, err)
		if err := errors.Join(b.check(total(z), saved, false), abacusOf(z).check(total(z))); err != nil {
			t.Fatalf("call %d fails: %v", n, err)
		}
		must(t, z.Close())
		if !failed {
			return
		}
	}
}

// TestTotalsOfARefusal: a message that a door has given up does not count as taken, whatever becomes of its record.
func TestTotalsOfARefusal(t *testing.T) {
	for _, lost := range []bool{false, true} {
		totalsOfARefusal(t, lost)
	}
}

func totalsOfARefusal(t *testing.T, lost bool) {
	m, f := newMemFS(), &failing{}
	m.hook = f.hook
	a, _, _ := mustStart(t, m, smallConfig())
	must(t, a.Take(message(a.NewID(), "b", "x@a.example")))
	l := a.book
	if lost {
		f.set("write", syscall.EIO)
	}
	msg := message(a.NewID(), "b", "x@a.example", "y@a.example")
	l.mu.Lock()
	l.writeTake(l.next, msg)
	l.mu.Unlock()
	if !l.takeBack(msg.ID) {
		t.Fatal("not taken back")
	}
	a.Flush()
	f.set("write", nil)
	for a.Flush() != nil {
		time.Sleep(pulseInterval / 10) // until the journal goes on in another segment
	}
	check := func(n int) {
		t.Helper()
		b, saved, _ := mustStart(t, m.killed(), smallConfig())
		if want := (format.Totals{uint64(n), uint64(n)}); len(saved) != n || total(b) != want || l.totals != want {
			t.Errorf("lost %v: %d messages, totals %v, before %v", lost, len(saved), total(b), l.totals)
		}
	}
	check(1)
	must(t, a.Take(message(a.NewID(), "b", "x@a.example")))
	check(2)
}

// TestTotalsDuringACopy: a recipient who is done while his message stands at two places counts once.
func TestTotalsDuringACopy(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 60)
	for _, id := range w.order[1:30] {
		for r := range w.offered[id].Rcpts {
			w.settle(a, id, r)
		}
	}
	must(t, w.flush(a))
	if n, _ := a.book.copySome(); n == 0 {
		t.Fatal("nothing was copied")
	}
	for r := range w.offered[w.order[0]].Rcpts {
		w.settle(a, w.order[0], r)
	}
	want := total(a)
	must(t, w.flush(a))
	b, saved, _ := mustStart(t, m.killed(), smallConfig())
	if must(t, w.check(saved)); total(b) != want {
		t.Errorf("totals %v, want %v", total(b), want)
	}
}

// TestTotalsOfAnOlderDirectory begin at 0, and Status shows them by name.
func TestTotalsOfAnOlderDirectory(t *testing.T) {
	dir := t.TempDir()
	copyGolden(t, 2, dir)
	a, saved, _ := mustStart(t, osFS{dir}, smallConfig())
	if total(a) != (format.Totals{}) {
		t.Errorf("totals %v", total(a))
	}
	a.Event(&relay.Event{Kind: relay.EventSettled, Outcome: relay.Sent, Message: saved[0].Message, Rcpt: saved[0].Nodes[0].Rcpts[0]})
	must(t, a.Take(message(a.NewID(), "b", "x@a.example")))
	must(t, a.Close())
	b, _, _ := mustStart(t, osFS{dir}, smallConfig())
	if got, want := b.Status().Totals, (Totals{Messages: 1, Recipients: 1, Sent: 1}); got != want {
		t.Errorf("totals %+v, want %+v", got, want)
	}
}

// TestNextEpoch: when most ids of an epoch are used, a segment takes the next one, and its ids are given out when that is durable.
func TestNextEpoch(t *testing.T) {
	m := newMemFS()
	a, err := open(m, smallConfig(), hclog.NewNullLogger())
	must(t, err)
	defer a.Close()
	_, err = a.Recover(func(relay.Saved) error { return nil })
	must(t, err)
	first := a.NewID() >> epochShift
	a.ids.last.Store(uint64(first)<<epochShift | lastCount - 2)
	for range 2 {
		if id := a.NewID(); id>>epochShift != first {
			t.Fatalf("id %x", uint64(id))
		}
	}
	if id := a.NewID(); id != 0 {
		t.Fatalf("id %x of an epoch that is used up", uint64(id))
	}
	if err := a.Take(message(0, "b", "x@a.example")); !errors.Is(err, ErrBusy) {
		t.Errorf("a message without an id: %v", err)
	}
	must(t, a.Take(message(first<<epochShift|7, "b", "x@a.example"))) // any commit brings the next segment
	must(t, a.Take(message(first<<epochShift|8, "b", "x@a.example")))
	if id := a.NewID(); id != (first+1)<<epochShift+1 {
		t.Errorf("id %x", uint64(id))
	}
	b, _, _ := mustStart(t, m.killed(), smallConfig())
	if id := b.NewID(); id != (first+2)<<epochShift+1 {
		t.Errorf("id %x after a restart", uint64(id))
	}
}

// TestOtherNode: a file of another node of a cluster is refused by name, and nothing is changed.
func TestOtherNode(t *testing.T) {
	m, _ := smallJournal(t)
	name := segmentName(1)
	h, err := format.ReadHeader(name, format.SegmentMagic, m.names[name].data)
	must(t, err)
	h.Node = 7
	copy(m.names[name].data, h.Block()[:format.CopyAt+format.HeaderSize])
	if _, _, _, err := start(m, smallConfig()); err == nil || !strings.Contains(err.Error(), "00000001.seg: it is of node 7") || m.ops != 0 {
		t.Errorf("%v, %d calls that change something", err, m.ops)
	}
}

// total is what has been counted until now.
func total(a *Agent) format.Totals {
	a.book.mu.Lock()
	defer a.book.mu.Unlock()
	return a.book.totals
}

// TestWhichCommitsCount: the first commit of a segment has totals, and so have those after it now and then, and one that must tell what
// a lost commit counted.
func TestWhichCommitsCount(t *testing.T) {
	s := new(segment)
	for i := range 2*countEvery + 1 {
		if b := newBatch(s, nil, nil); (b.head == format.CommitFrame) != (i%countEvery == 0) || len(b.buf) != b.head || !b.empty() {
			t.Errorf("commit %d begins with %d bytes, of them %d for its frame", i+1, len(b.buf), b.head)
		}
	}
	lost, b := newBatch(s, nil, nil), newBatch(s, nil, nil)
	lost.owed.Take(3)
	b.inherit(lost)
	b.fillHead(5, time.Now(), &format.Totals{2, 2})
	f, ok := format.ParseFrame(b.buf, format.Stamp{Seed: s.head.Seed()})
	if !ok {
		t.Fatalf("no frame in %x", b.buf)
	}
	if c, ok := format.DecodeCommit(f.Payload); !ok || !c.Counted || c.Totals != (format.Totals{3, 5}) {
		t.Errorf("%+v", c)
	}
}
