package snapshot

import (
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// TestTornTailIsCut once, and told once.
func TestTornTailIsCut(t *testing.T) {
	m, w := smallJournal(t)
	f := m.names[segmentName(1)]
	f.data = append(f.data[:len(f.data)-64-3], 7, 7, 7) // the last frame, of outcomes, lost its end
	a, saved, r := mustStart(t, m, smallConfig())
	if r.Torn == 0 || !r.Healthy() || r.Clean || len(saved) != 4 {
		t.Errorf("%d messages, %+v", len(saved), r)
	}
	must(t, w.take(a, message(a.NewID(), "b", "x@a.example")))
	_, saved, r = mustStart(t, m.killed(), smallConfig())
	if r.Torn != 0 || !r.Healthy() || len(saved) != 5 {
		t.Errorf("the second time: %d messages, %+v", len(saved), r)
	}
}

// TestRecoveredIsDurable: what was only in the page cache when the daemon was killed is on the disk once it was given
// out again.
func TestRecoveredIsDurable(t *testing.T) {
	m := newMemFS()
	cfg := smallConfig()
	cfg.Ack = AckWritten
	cfg.Journal.SyncInterval = cfg.Snapshot.Interval
	a, _, _ := mustStart(t, m, cfg)
	must(t, a.Take(message(a.NewID(), "b", "x@a.example")))
	// The first daemon is as good as dead: it has nothing to do any more.
	_, saved, _ := mustStart(t, m, cfg)
	if len(saved) != 1 {
		t.Fatalf("%d messages", len(saved))
	}
	_, saved, _ = mustStart(t, restart(m.safe, func(i *inode) []byte { return i.safe }), cfg)
	if len(saved) != 1 {
		t.Errorf("%d messages after the power cut", len(saved))
	}
}

func TestReportLine(t *testing.T) {
	r := Report{Messages: 3, Recipients: 5, Done: 7, Torn: 11, Took: 1234567890}
	if got, want := r.String(), "recovered 3 messages, 5 recipients, 7 done before, cut 11 bytes of a torn tail, took 1.235 s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r.Damaged, r.Missing = []string{"x"}, []string{"y"}
	if got := r.String(); r.Healthy() || !strings.Contains(got, "DAMAGE: 1 places, 0 messages without a body, 1 segments missing") {
		t.Errorf("%q", got)
	}
}

// TestManyRestarts: a message that stays for ever survives snapshots, copies and restarts of any number, with its
// soft state, while the others come and go.
func TestManyRestarts(t *testing.T) {
	m, w := newMemFS(), newWorld()
	var stays *relay.Message
	for round := range 12 {
		a, saved, r := mustStart(t, m, smallConfig())
		must(t, w.check(saved))
		if !r.Healthy() {
			t.Fatalf("round %d: %+v", round, r)
		}
		if round == 0 {
			stays = message(a.NewID(), "stays", "old@a.example")
			must(t, w.take(a, stays))
		} else if n := saved[0].Nodes[0]; saved[0].Message.ID != stays.ID && len(saved) == 1 || n.Visits != round && len(saved) == 1 {
			t.Fatalf("round %d: %+v", round, saved[0])
		}
		n := *stays.Node(0)
		n.Visits = int32(round + 1)
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: stays, Node: &n, Rcpt: -1})
		w.campaign(t, a, 50)
		for _, id := range w.order[1:] {
			for i := range w.offered[id].Rcpts {
				w.settle(a, id, i)
			}
		}
		must(t, w.flush(a))
		if round%3 > 0 {
			must(t, a.WriteSnapshot())
		}
		if round%4 == 3 {
			must(t, a.Close())
		}
		m = m.killed()
	}
	names, _ := m.List(journalDir)
	if len(names) > 12 {
		t.Errorf("%d segments are left: %v", len(names), names)
	}
}

// TestTakesDuringRecovery: doors take mail from other goroutines, into new segments, and handlers settle what was given out,
// while both passes read the old ones. The race detector watches.
func TestTakesDuringRecovery(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 300)
	b, err := open(m.killed(), smallConfig(), hclog.NewNullLogger())
	must(t, err)
	defer b.Close()
	var doors sync.WaitGroup
	end, first := make(chan struct{}), make(chan struct{})
	for range 3 {
		doors.Go(func() {
			for n := 0; ; n++ {
				if err := b.Take(message(b.NewID(), strings.Repeat("new", 500), "n@a.example")); err != nil {
					t.Error(err)
				}
				if n == 3 {
					first <- struct{}{}
				}
				select {
				case <-end:
					return
				default:
				}
			}
		})
	}
	for range 3 {
		<-first
	}
	given := 0
	_, err = b.Recover(func(s relay.Saved) error {
		given++
		doors.Go(func() { b.Event(&relay.Event{Kind: relay.EventRemoved, Message: s.Message, Rcpt: -1}) })
		return nil
	})
	must(t, err)
	close(end)
	doors.Wait()
	must(t, b.Flush())
	if st := b.Status(); given != 300 || int64(st.Messages) != st.Takes {
		t.Errorf("%d messages given out; %d of %d new ones are here", given, st.Messages, st.Takes)
	}
}
